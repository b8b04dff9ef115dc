// crowd THREADS ROUNDS PAIRS: so many threads that all live at once. In each round, for which all of them wait, a
// thread allocates and releases PAIRS blocks on some stacks, leaks one and releases what its neighbour made in the
// round before. Writes what is left to "truth": blocks, bytes, and all its allocations and releases.
#include "host.hpp"

#include <atomic>
#include <pthread.h>

namespace {

constexpr size_t kMostThreads = 10'000;
constexpr size_t kHeld = 8; // blocks of a thread at a time

size_t g_threads = 0;
size_t g_rounds = 0;
size_t g_pairs = 0;
pthread_barrier_t g_round;
void* g_for_neighbour[2][kMostThreads]; // in turn by rounds
std::atomic<size_t> g_left_bytes{0};

HOST_FRAME void* allocate(size_t depth, size_t bytes)
{
    return keep(depth == 0 ? malloc(bytes) : allocate(depth - 1, bytes));
}
HOST_FRAME void* leak(size_t bytes)
{
    g_left_bytes.fetch_add(bytes, std::memory_order_relaxed);
    return keep(malloc(bytes));
}
HOST_FRAME void* make_for_neighbour(size_t bytes)
{
    return keep(malloc(bytes));
}

void* work(void* argument)
{
    const auto number = reinterpret_cast<size_t>(argument);
    uint32_t random = static_cast<uint32_t>(number);
    void* held[kHeld] = {};
    for (size_t round = 0; round < g_rounds; ++round) {
        pthread_barrier_wait(&g_round);
        for (size_t i = 0; i < g_pairs; ++i) {
            random = random * 1103515245 + 12345;
            void*& block = held[random >> 29];
            free(block);
            block = allocate((random >> 16) % 12, 1 + (random >> 20) % 500);
        }
        for (void*& block : held) {
            free(block);
            block = nullptr;
        }
        leak(16 + number % 100);
        free(g_for_neighbour[(round + 1) % 2][(number + 1) % g_threads]);
        g_for_neighbour[(round + 1) % 2][(number + 1) % g_threads] = nullptr;
        g_for_neighbour[round % 2][number] = make_for_neighbour(1 + number % 50);
    }
    pthread_barrier_wait(&g_round); // none ends before all have worked
    return nullptr;
}

} // namespace

int main(int argc, char** argv)
{
    HOST_CHECK(argc == 4);
    g_threads = strtoul(argv[1], nullptr, 10);
    g_rounds = strtoul(argv[2], nullptr, 10);
    g_pairs = strtoul(argv[3], nullptr, 10);
    HOST_CHECK(g_threads <= kMostThreads && g_rounds > 0);
    HOST_CHECK(pthread_barrier_init(&g_round, nullptr, static_cast<unsigned>(g_threads)) == 0);
    pthread_attr_t small;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 64 << 10);
    static pthread_t threads[kMostThreads];
    for (size_t i = 0; i < g_threads; ++i)
        HOST_CHECK(pthread_create(&threads[i], &small, work, reinterpret_cast<void*>(i)) == 0);
    for (size_t i = 0; i < g_threads; ++i) pthread_join(threads[i], nullptr);
    for (void* block : g_for_neighbour[(g_rounds + 1) % 2]) free(block);
    const int truth = open("truth", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    dprintf(truth, "%zu %zu %zu\n", g_threads * g_rounds, g_left_bytes.load(), g_threads * g_rounds * (g_pairs + 2));
    return 0;
}
