// How long single calls take: latency PAIRS. Times every malloc and free by itself and prints, as one JSON object, how
// many took longer than each limit, and how often the kernel took the processor away (getrusage's involuntary
// switches). Then how long it takes to start a thread: traced, one of the calls has to do that, too.
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <pthread.h>
#include <sys/resource.h>
#include <time.h>
#include <x86intrin.h>

namespace {

constexpr double kLimitsUs[] = {0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 1000, 10000};
constexpr int kLimits = sizeof kLimitsUs / sizeof kLimitsUs[0];
uint64_t limits_ticks[kLimits];
uint64_t longer_than[kLimits];
uint64_t longest = 0;

double ticks_per_us()
{
    const auto start = std::chrono::steady_clock::now();
    const uint64_t from = __rdtsc();
    while (std::chrono::steady_clock::now() - start < std::chrono::milliseconds(50)) {}
    const uint64_t ticks = __rdtsc() - from;
    return static_cast<double>(ticks) /
           std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start).count();
}

void count(uint64_t ticks)
{
    if (ticks > longest) longest = ticks;
    for (int i = 0; i < kLimits && ticks > limits_ticks[i]; ++i) ++longer_than[i];
}

template <typename Call> void timed(Call call)
{
    unsigned core = 0;
    const uint64_t from = __rdtscp(&core);
    call();
    count(__rdtscp(&core) - from);
}

__attribute__((noinline)) void pair(int depth, void*& slot, size_t bytes)
{
    if (depth > 0) {
        pair(depth - 1, slot, bytes);
        asm volatile("");
        return;
    }
    timed([&] { free(slot); });
    timed([&] { slot = malloc(bytes); });
}

} // namespace

int main(int argc, char** argv)
{
    const long pairs = argc > 1 ? atol(argv[1]) : 1'000'000;
    const double per_us = ticks_per_us();
    for (int i = 0; i < kLimits; ++i) limits_ticks[i] = static_cast<uint64_t>(kLimitsUs[i] * per_us);
    static void* window[1024];
    uint64_t random = 88172645463325252u;
    for (long i = 0; i < pairs; ++i) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        pair(static_cast<int>(random >> 40 & 15), window[random >> 20 & 1023], 16 + (random & 255));
    }
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    pthread_t thread{};
    unsigned core = 0;
    const uint64_t from = __rdtscp(&core);
    if (pthread_create(&thread, nullptr, [](void* argument) { return argument; }, nullptr) != 0) return 1;
    const uint64_t start_ticks = __rdtscp(&core) - from;
    pthread_join(thread, nullptr);
    printf(
        "{\"calls\": %ld, \"longest_us\": %.1f, \"preempted\": %ld, \"thread_start_us\": %.1f, \"longer_than_us\": {",
        2 * pairs, static_cast<double>(longest) / per_us, usage.ru_nivcsw, static_cast<double>(start_ticks) / per_us);
    for (int i = 0; i < kLimits; ++i)
        printf("%s\"%g\": %llu", i == 0 ? "" : ", ", kLimitsUs[i], static_cast<unsigned long long>(longer_than[i]));
    printf("}}\n");
    return 0;
}
