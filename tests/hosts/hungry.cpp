// hungry COUNTERS THREADS: each thread allocates and writes blocks of 1 MiB, with smaller ones that come and go between
// them, until malloc() says no; then it goes on for a while with what it has, and releases half of the large blocks.
// Prints what it was given and refused. Counters of thread t: [4t] allocations, [4t + 1] releases that have returned.
#include "host.hpp"

#include <pthread.h>

namespace {

constexpr size_t kMostThreads = 16;
constexpr size_t kMostBlocks = 1 << 16;
constexpr size_t kLargeBytes = 1 << 20;
constexpr size_t kPassing = 64;
constexpr size_t kPairs = 200; // of small blocks, for each large one
constexpr size_t kRoundsAfter = 3000;

struct Eater {
    SharedCounter* counters;
    uint32_t random;
    void** large;
    size_t given;
    size_t refused;
    size_t small_refused;
    void* passing[kPassing];
};
Eater g_eaters[kMostThreads];

HOST_FRAME void* take_large()
{
    return keep(malloc(kLargeBytes));
}
HOST_FRAME void* take_small(size_t bytes)
{
    return keep(malloc(bytes));
}

void pass_some(Eater& eater)
{
    for (size_t i = 0; i < kPairs; ++i) {
        eater.random = eater.random * 1103515245 + 12345;
        void*& passing = eater.passing[eater.random >> 26];
        if (passing != nullptr) {
            free(passing);
            count(eater.counters[1]);
        }
        passing = take_small(16 + (eater.random >> 16) % 500);
        if (passing != nullptr)
            count(eater.counters[0]);
        else
            ++eater.small_refused;
    }
}

void* eat(void* argument)
{
    Eater& eater = *static_cast<Eater*>(argument);
    while (eater.given < kMostBlocks) {
        void* block = take_large();
        if (block == nullptr) break;
        eater.large[eater.given++] = block;
        count(eater.counters[0]);
        memset(block, 1, kLargeBytes);
        pass_some(eater);
    }
    for (size_t i = 0; i < kRoundsAfter; ++i) {
        if (void* block = take_large(); block == nullptr) {
            ++eater.refused;
        } else { // another thread may have released some
            count(eater.counters[0]);
            free(block);
            count(eater.counters[1]);
        }
        pass_some(eater);
    }
    for (size_t i = 0; i < eater.given / 2; ++i) {
        free(eater.large[i]);
        count(eater.counters[1]);
    }
    for (void* passing : eater.passing) {
        if (passing == nullptr) continue;
        free(passing);
        count(eater.counters[1]);
    }
    return nullptr;
}

} // namespace

int main(int argc, char** argv)
{
    HOST_CHECK(argc == 3);
    SharedCounter* counters = map_counters(argv[1]);
    const size_t threads = strtoul(argv[2], nullptr, 10);
    HOST_CHECK(threads >= 1 && threads <= kMostThreads);
    pthread_t others[kMostThreads];
    for (size_t i = 0; i < threads; ++i) {
        void* table =
            mmap(nullptr, kMostBlocks * sizeof(void*), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        HOST_CHECK(table != MAP_FAILED);
        g_eaters[i] = {counters + 4 * i, static_cast<uint32_t>(i + 1), static_cast<void**>(table), 0, 0, 0, {}};
    }
    for (size_t i = 1; i < threads; ++i) HOST_CHECK(pthread_create(&others[i], nullptr, eat, &g_eaters[i]) == 0);
    eat(&g_eaters[0]);
    for (size_t i = 1; i < threads; ++i) pthread_join(others[i], nullptr);
    size_t given = 0;
    size_t left = 0;
    size_t refused = 0;
    size_t small_refused = 0;
    for (const Eater& eater : g_eaters) {
        given += eater.given;
        left += eater.given - eater.given / 2;
        refused += eater.refused;
        small_refused += eater.small_refused;
    }
    say("%zu large blocks, %zu left, refused %zu large and %zu small\n", given, left, refused, small_refused);
    return 0;
}
