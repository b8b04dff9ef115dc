// overflow THREADS ROUNDS: each thread ROUNDS times allocates and releases; then one block is left behind. The file
// "truth" says how many calls there were and the most processor time, in ns, that one took.
#include "host.hpp"

#include <atomic>
#include <pthread.h>
#include <time.h>

namespace {

constexpr size_t kMostThreads = 64;
size_t g_rounds = 0;
std::atomic<uint64_t> g_slowest{0};

HOST_FRAME void* made_and_released(size_t depth, size_t bytes)
{
    return keep(depth == 0 ? malloc(bytes) : made_and_released(depth - 1, bytes));
}
HOST_FRAME void* left_behind()
{
    return keep(malloc(77));
}

uint64_t processor_time()
{
    timespec now{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

void* work(void* argument)
{
    uint64_t slowest = 0;
    uint64_t state = reinterpret_cast<uint64_t>(argument) + 1;
    uint64_t before = processor_time();
    for (size_t i = 0; i < g_rounds; ++i) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        free(made_and_released(state >> 60, state >> 50));
        const uint64_t now = processor_time();
        if (i > 1000 && now - before > slowest) slowest = now - before; // at first there is much to learn
        before = now;
    }
    uint64_t seen = g_slowest.load();
    while (slowest > seen && !g_slowest.compare_exchange_weak(seen, slowest)) continue;
    return nullptr;
}

} // namespace

int main(int argc, char** argv)
{
    HOST_CHECK(argc == 3);
    const size_t threads = strtoul(argv[1], nullptr, 10);
    g_rounds = strtoul(argv[2], nullptr, 10);
    HOST_CHECK(threads <= kMostThreads);
    pthread_t workers[kMostThreads];
    for (size_t i = 0; i < threads; ++i)
        HOST_CHECK(pthread_create(&workers[i], nullptr, work, reinterpret_cast<void*>(i)) == 0);
    for (size_t i = 0; i < threads; ++i) pthread_join(workers[i], nullptr);
    usleep(500'000); // until buffers are free
    left_behind();
    const int truth = open("truth", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    dprintf(truth, "%zu %llu\n", 2 * threads * g_rounds + 1, static_cast<unsigned long long>(g_slowest.load()));
    return 0;
}
