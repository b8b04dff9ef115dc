#include "preload/snapshot/readable_copy.hpp"

#include <cstring>
#include <doctest/doctest.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

using leak::preload::begin_readable_copies;
using leak::preload::copy_readable;

namespace {

constexpr size_t kPage = 4096;
constexpr size_t kReadable = 3 * kPage;

// What a child says of memory of which the first three of four pages can be read: that from any place on, what is there
// is copied up to where it can't be read.
[[nodiscard]] bool is_copied_by_child(const std::byte* memory)
{
    const pid_t child = fork();
    if (child == 0) {
        begin_readable_copies();
        std::vector<std::byte> to(kReadable + kPage);
        bool is_right = true;
        for (const size_t from : {size_t{0}, size_t{8}, kPage - 8, 2 * kPage + 16, kReadable - 8, kReadable}) {
            std::fill(to.begin(), to.end(), std::byte{0xee});
            const size_t copied = copy_readable(to.data(), memory + from, kReadable + kPage - from);
            is_right = is_right && copied == kReadable - from && std::memcmp(to.data(), memory + from, copied) == 0;
            is_right = is_right && copy_readable(to.data(), memory, from) == from;
        }
        _exit(is_right ? 0 : 1);
    }
    int status = 0;
    return waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

void fill(std::byte* memory)
{
    for (size_t i = 0; i < kReadable; ++i) memory[i] = static_cast<std::byte>(i * 7 + i / 256);
}

} // namespace

TEST_CASE("memory is copied up to what can't be read")
{
    void* const memory = mmap(nullptr, kReadable + kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(memory != MAP_FAILED);
    fill(static_cast<std::byte*>(memory));
    REQUIRE(mprotect(static_cast<std::byte*>(memory) + kReadable, kPage, PROT_NONE) == 0);
    CHECK(is_copied_by_child(static_cast<std::byte*>(memory)));
    munmap(memory, kReadable + kPage);
}

TEST_CASE("memory is copied up to where its file was cut")
{
    const int fd = memfd_create("cut", MFD_CLOEXEC);
    REQUIRE(ftruncate(fd, kReadable + kPage) == 0);
    void* const memory = mmap(nullptr, kReadable + kPage, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    REQUIRE(memory != MAP_FAILED);
    fill(static_cast<std::byte*>(memory));
    REQUIRE(ftruncate(fd, kReadable) == 0);
    CHECK(is_copied_by_child(static_cast<std::byte*>(memory)));
    munmap(memory, kReadable + kPage);
    close(fd);
}

TEST_CASE("a fault anywhere else ends the process as it would have")
{
    const pid_t child = fork();
    if (child == 0) {
        prctl(PR_SET_DUMPABLE, 0); // no core file
        begin_readable_copies();
        void* const nothing = mmap(nullptr, kPage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        *static_cast<volatile char*>(nothing) = 1;
        _exit(0);
    }
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFSIGNALED(status));
    CHECK(WTERMSIG(status) == SIGSEGV);
}
