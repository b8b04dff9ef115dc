// toggled steps|own|fork|exec|storm|rounds SIGNAL: allocates, sends itself SIGNAL, allocates, and so on. "own": after
// its first step it has a handler of its own. "fork", "exec": the steps are made by a child, or by the program that
// replaces it. "storm": threads allocate while the signal comes thousands of times, an even number in all. "rounds":
// allocates much, then 1,000 bytes and the number of the round, and 2,000 behind two signals.
#include "host.hpp"

#include <atomic>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>

namespace {

constexpr int kThreads = 4;
constexpr int kSignals = 4000;
std::atomic<bool> g_done{false};
std::atomic<int> g_own{0};

HOST_FRAME void* first_step()
{
    return keep(malloc(101));
}
HOST_FRAME void* second_step()
{
    return keep(malloc(102));
}
HOST_FRAME void* third_step()
{
    return keep(malloc(103));
}
HOST_FRAME void* made_in_storm(size_t bytes)
{
    return keep(malloc(bytes));
}

void steps(int signal)
{
    first_step();
    HOST_CHECK(raise(signal) == 0);
    second_step();
    HOST_CHECK(raise(signal) == 0);
    third_step();
}

void* hammer(void*)
{
    for (size_t i = 0; !g_done.load(std::memory_order_relaxed); ++i) {
        errno = 77;
        free(made_in_storm(i % 500));
        HOST_CHECK(errno == 77);
    }
    return nullptr;
}

void rounds(int signal)
{
    for (size_t round = 0; round < 100; ++round) {
        for (int i = 0; i < 3000; ++i) free(made_in_storm(24));
        made_in_storm(1000 + round);
        HOST_CHECK(raise(signal) == 0);
        HOST_CHECK(raise(signal) == 0);
        made_in_storm(2000 + round);
    }
}

void storm(int signal)
{
    pthread_t threads[kThreads];
    for (pthread_t& thread : threads) HOST_CHECK(pthread_create(&thread, nullptr, hammer, nullptr) == 0);
    for (int i = 0; i < kSignals; ++i) {
        HOST_CHECK(i % 2 == 0 ? kill(getpid(), signal) == 0 : pthread_kill(threads[i / 2 % kThreads], signal) == 0);
        if (i % 16 == 0) sched_yield();
    }
    sigset_t pending;
    do sigpending(&pending);
    while (sigismember(&pending, signal));
    usleep(20'000); // those for one thread
    g_done.store(true, std::memory_order_relaxed);
    for (pthread_t thread : threads) pthread_join(thread, nullptr);
}

} // namespace

int main(int argc, char** argv)
{
    HOST_CHECK(argc == 3);
    const int signal = atoi(argv[2]);
    switch (argv[1][0]) {
    case 'o':
        first_step();
        ::signal(signal, [](int) { g_own.fetch_add(1); });
        HOST_CHECK(raise(signal) == 0);
        second_step();
        say("own %d\n", g_own.load());
        break;
    case 'f':
        if (const pid_t child = fork(); child != 0) {
            int status = 0;
            HOST_CHECK(waitpid(child, &status, 0) == child && status == 0);
            break;
        }
        [[fallthrough]];
    case 's':
        if (argv[1][2] == 'o') storm(signal);
        steps(signal);
        break;
    case 'r':
        rounds(signal);
        break;
    case 'e':
        execl("/proc/self/exe", argv[0], "steps", argv[2], static_cast<char*>(nullptr));
        return 1;
    }
    say("done\n");
    return 0;
}
