// churn THREADS: a thread for each request: so many of them, four at a time. Each makes some blocks and releases them;
// every thousandth leaks one of 100 bytes, and is called "leaky". The file "memory" says every 2,000 threads what
// anonymous memory the process has, in KiB.
#include "host.hpp"

#include <pthread.h>
#include <sys/prctl.h>

namespace {

constexpr size_t kAtOnce = 4;
constexpr size_t kEach = 1000;

HOST_FRAME void leak_in_request()
{
    keep(malloc(100));
}

void* serve(void* argument)
{
    const auto number = reinterpret_cast<size_t>(argument);
    for (size_t i = 0; i < 20; ++i) free(keep(malloc(16 + i)));
    if (number % kEach == 0) {
        prctl(PR_SET_NAME, "leaky");
        leak_in_request();
    }
    return nullptr;
}

void note_memory(int to)
{
    char status[4096];
    const int from = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    const ssize_t bytes = read(from, status, sizeof status - 1);
    HOST_CHECK(bytes > 0);
    close(from);
    status[bytes] = 0;
    const char* const line = strstr(status, "RssAnon:");
    HOST_CHECK(line != nullptr);
    dprintf(to, "%ld\n", strtol(line + strlen("RssAnon:"), nullptr, 10));
}

} // namespace

int main(int argc, char** argv)
{
    HOST_CHECK(argc == 2);
    const size_t threads = strtoul(argv[1], nullptr, 10);
    const int memory = open("memory", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    HOST_CHECK(memory >= 0);
    for (size_t number = 0; number < threads; number += kAtOnce) {
        if (number % (2 * kEach) == 0) note_memory(memory);
        pthread_t running[kAtOnce];
        for (size_t i = 0; i < kAtOnce; ++i)
            HOST_CHECK(pthread_create(&running[i], nullptr, serve, reinterpret_cast<void*>(number + i)) == 0);
        for (const pthread_t thread : running) pthread_join(thread, nullptr);
    }
    return 0;
}
