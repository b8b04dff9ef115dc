// Runs the fuzz target without a fuzzer: fuzz_main N FILE... replays each file as it is and N mutations of it.
#include "tests/fuzz/mutator.hpp"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <sys/resource.h>
#include <vector>

#if defined(__has_feature) // clang's way to say it
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define LEAK_SANITIZED
#endif
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define LEAK_SANITIZED
#endif

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

std::vector<std::byte> read_file(const std::string& path)
{
    std::ifstream file(path, std::ios::binary);
    const std::vector<char> text{std::istreambuf_iterator<char>(file), {}};
    std::vector<std::byte> bytes;
    for (const char c : text) bytes.push_back(static_cast<std::byte>(c));
    return bytes;
}

void run(const std::string& name, uint64_t round, const std::vector<std::byte>& bytes)
{
    const auto start = std::chrono::steady_clock::now();
    LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
    constexpr auto kPatience = std::chrono::seconds(20);
    if (std::chrono::steady_clock::now() - start < kPatience) return;
    std::fprintf(stderr, "%s, mutation %llu: took too long\n", name.c_str(), static_cast<unsigned long long>(round));
    std::exit(1);
}

// An input that makes the analyzer ask for memory without bound fails here, not on somebody's machine. A sanitizer
// reserves more address space than that.
void bound_memory()
{
#if !defined(LEAK_SANITIZED)
    const rlimit limit{.rlim_cur = 1u << 30, .rlim_max = 1u << 30};
    setrlimit(RLIMIT_AS, &limit);
#endif
}

} // namespace

int main(int argc, char** argv)
{
    if (argc < 3) {
        std::fprintf(stderr, "usage: fuzz_main MUTATIONS FILE...\n");
        return 2;
    }
    bound_memory();
    const auto mutations = static_cast<uint64_t>(std::strtoull(argv[1], nullptr, 10));
    uint64_t runs = 0;
    for (int i = 2; i < argc; ++i) {
        const std::vector<std::byte> original = read_file(argv[i]);
        run(argv[i], 0, original);
        for (uint64_t round = 1; round <= mutations; ++round, ++runs)
            run(argv[i], round, leak::test::Mutator(round).mutate(original));
    }
    std::printf("%llu damaged files were refused or read\n", static_cast<unsigned long long>(runs));
    return 0;
}
