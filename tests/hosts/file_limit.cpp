// RLIMIT_FSIZE: the limit is the host's own affair. It allocates a lot under a limit of LIMIT bytes, then writes a file
// of its own up to it and checks that the kernel tells it so in the usual way.
//   file_limit LIMIT late    sets the limit when its trace is much larger, and goes on
#include "host.hpp"
#include "leak.h"

#include <signal.h>
#include <sys/resource.h>

namespace {

volatile sig_atomic_t limit_signals = 0;
void on_limit(int)
{
    limit_signals = limit_signals + 1;
}
HOST_FRAME void* churn()
{
    return keep(malloc(100));
}
HOST_FRAME void* leak_under_limit()
{
    return keep(malloc(34));
}

} // namespace

int main(int argc, char** argv)
{
    HOST_CHECK(argc == 3);
    const size_t limit = strtoul(argv[1], nullptr, 10);
    struct sigaction action = {};
    action.sa_handler = on_limit;
    if (strcmp(argv[2], "handler") == 0) HOST_CHECK(sigaction(SIGXFSZ, &action, nullptr) == 0);
    const rlimit limits = {limit, limit};
    if (strcmp(argv[2], "late") == 0) {
        for (int i = 0; i < 3'000'000; ++i) free(churn());
        HOST_CHECK(setrlimit(RLIMIT_FSIZE, &limits) == 0);
        char text[1000];
        memset(text, 'x', sizeof text - 1);
        text[sizeof text - 1] = 0;
        // More than a slot of the journal has room for.
        for (int i = 0; i < 600; ++i) leak_mark(text);
        leak_under_limit();
        return 0;
    }
    HOST_CHECK(setrlimit(RLIMIT_FSIZE, &limits) == 0);
    for (int i = 0; i < 200000; ++i) free(churn());
    leak_under_limit();
    say("signals before: %d\n", static_cast<int>(limit_signals));
    const int fd = open("own", O_WRONLY | O_CREAT | O_TRUNC, 0600);
    HOST_CHECK(fd >= 0);
    static char block[4096];
    size_t written = 0;
    if (limit > (1U << 30)) return 0;
    for (;;) {
        const ssize_t now = write(fd, block, sizeof block);
        if (now <= 0) break;
        written += static_cast<size_t>(now);
    }
    say("wrote %zu, errno %d, signals after: %d\n", written, errno, static_cast<int>(limit_signals));
    return 0;
}
