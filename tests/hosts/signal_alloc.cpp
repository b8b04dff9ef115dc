// A timer signal at a high rate whose handler allocates and releases. It is let in only where the C library allows an
// allocation in a handler: while the main thread waits (wait), computes without allocating (compute), or, in "mixed",
// at any time, with the handler allocating only when the interrupted code was not inside an allocation function, and
// mapping memory (a plain system call, allowed anywhere) otherwise: so that events are interrupted by events.
#include "host.hpp"

#include <signal.h>
#include <sys/time.h>

namespace {

volatile sig_atomic_t signals_seen = 0;
volatile sig_atomic_t inside_allocator = 0;
uint64_t handler_allocations = 0;
uint64_t handler_mappings = 0;

HOST_FRAME void* made_in_handler()
{
    return keep(malloc(51));
}
HOST_FRAME void* leaked_in_handler()
{
    return keep(malloc(52));
}
HOST_FRAME void* mapped_in_handler()
{
    return mmap(nullptr, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}
HOST_FRAME void* made_in_main()
{
    return keep(malloc(53));
}

HOST_FRAME void on_timer(int)
{
    const int saved = errno;
    signals_seen = signals_seen + 1;
    if (inside_allocator) {
        ++handler_mappings;
        void* range = mapped_in_handler();
        HOST_CHECK(range != MAP_FAILED);
        HOST_CHECK(munmap(range, 8192) == 0);
    } else {
        ++handler_allocations;
        void* block = made_in_handler();
        leaked_in_handler();
        free(block);
    }
    errno = saved;
}

} // namespace

int main(int argc, char** argv)
{
    HOST_CHECK(argc == 2);
    const char mode = argv[1][0];
    const int signals = mode == 'm' ? 500 : 1500;
    struct sigaction action = {};
    action.sa_handler = on_timer;
    action.sa_flags = SA_RESTART;
    HOST_CHECK(sigaction(SIGALRM, &action, nullptr) == 0);
    sigset_t blocked, before;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGALRM);
    if (mode == 'w') HOST_CHECK(sigprocmask(SIG_BLOCK, &blocked, &before) == 0);
    const itimerval timer = {{0, 300}, {0, 300}};
    HOST_CHECK(setitimer(ITIMER_REAL, &timer, nullptr) == 0);
    volatile uint64_t work = 0;
    while (signals_seen < signals) {
        if (mode == 'w') {
            free(made_in_main());
            sigsuspend(&before);
        } else if (mode == 'c') {
            for (int i = 0; i < 1000; ++i) work = work + static_cast<uint64_t>(i);
        } else {
            inside_allocator = 1;
            void* block = made_in_main();
            free(block);
            inside_allocator = 0;
        }
    }
    const itimerval off = {};
    setitimer(ITIMER_REAL, &off, nullptr);
    // The counts differ from run to run: they go to a descriptor of their own, the output stays comparable.
    char line[128];
    const int length = snprintf(line, sizeof line, "%llu %llu\n", static_cast<unsigned long long>(handler_allocations),
                                static_cast<unsigned long long>(handler_mappings));
    const int fd = open("truth", O_WRONLY | O_CREAT | O_TRUNC, 0600);
    HOST_CHECK(write(fd, line, static_cast<size_t>(length)) == length);
    close(fd);
    return 0;
}
