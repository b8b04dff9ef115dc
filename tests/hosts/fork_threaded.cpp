// A threaded process forks 60 times while its threads allocate; each child starts a thread of its own, allocates,
// joins it and ends. A lock that was held at a fork shows as a child that does not come back.
#include "host.hpp"

#include <atomic>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

namespace {

std::atomic<bool> stop{false};

HOST_FRAME void* churn()
{
    return keep(malloc(80));
}
HOST_FRAME void* leak_in_child_thread()
{
    return keep(malloc(81));
}

void* busy(void*)
{
    while (!stop.load(std::memory_order_relaxed)) {
        for (int i = 0; i < 200; ++i) free(churn());
        usleep(300); // each report of a child begins with all of these events
    }
    return nullptr;
}

void* in_child(void*)
{
    for (int i = 0; i < 5000; ++i) free(churn());
    leak_in_child_thread();
    return nullptr;
}

} // namespace

int main()
{
    pthread_t threads[4];
    for (pthread_t& thread : threads) HOST_CHECK(pthread_create(&thread, nullptr, busy, nullptr) == 0);
    int good = 0;
    for (int i = 0; i < 60; ++i) {
        const pid_t child = fork();
        if (child == 0) {
            alarm(20);
            pthread_t thread;
            HOST_CHECK(pthread_create(&thread, nullptr, in_child, nullptr) == 0);
            HOST_CHECK(pthread_join(thread, nullptr) == 0);
            exit(0);
        }
        HOST_CHECK(child > 0);
        int status = 0;
        HOST_CHECK(waitpid(child, &status, 0) == child);
        if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
            ++good;
        else
            say("child %d: status %x\n", i, static_cast<unsigned>(status));
    }
    stop.store(true);
    for (pthread_t thread : threads) pthread_join(thread, nullptr);
    say("%d of 60 children came back\n", good);
    return 0;
}
