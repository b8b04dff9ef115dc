// A signal handler forks, wherever it finds the program: between two calls or in the middle of one. The child returns
// from the handler into what was interrupted and goes on working.
#include "host.hpp"

#include <csignal>
#include <sys/time.h>
#include <sys/wait.h>

namespace {

constexpr int kChildren = 150;
volatile sig_atomic_t g_forked = 0;
volatile sig_atomic_t g_is_child = 0;

void fork_here(int)
{
    const int saved_errno = errno;
    if (g_forked < kChildren && g_is_child == 0) {
        const pid_t child = fork();
        if (child == 0) g_is_child = 1;
        if (child > 0) g_forked = g_forked + 1;
    }
    errno = saved_errno;
}

HOST_FRAME void* made_before(int depth)
{
    return keep(depth == 0 ? malloc(40) : made_before(depth - 1));
}
HOST_FRAME void* made_in_child()
{
    return keep(malloc(70));
}

void be_child()
{
    for (int i = 0; i < 3000; ++i) free(made_before(i % 20));
    for (int i = 0; i < 10; ++i) made_in_child();
    _exit(7);
}

} // namespace

int main()
{
    struct sigaction action = {};
    action.sa_handler = fork_here;
    HOST_CHECK(sigaction(SIGALRM, &action, nullptr) == 0);
    const itimerval often = {{0, 1000}, {0, 1000}};
    HOST_CHECK(setitimer(ITIMER_REAL, &often, nullptr) == 0);
    for (int i = 0; g_forked < kChildren; ++i) {
        free(made_before(i % 20));
        if (g_is_child != 0) be_child();
    }
    if (g_is_child != 0) be_child();
    const itimerval never = {};
    HOST_CHECK(setitimer(ITIMER_REAL, &never, nullptr) == 0);
    int sound = 0;
    for (int status = 0; wait(&status) > 0;) {
        if (WIFEXITED(status) && WEXITSTATUS(status) == 7)
            ++sound;
        else
            say("a child ended with status %#x\n", status);
    }
    say("%d children are sound\n", sound);
    return 0;
}
