// Signals sent to the process while all of its own threads block them must wait for sigwait: a thread somebody else
// started must not take them. Before that, enough events that every helper the tracer may have is running.
#include "host.hpp"

#include <initializer_list>
#include <signal.h>

namespace {

HOST_FRAME void* churn()
{
    return keep(malloc(90));
}

} // namespace

int main()
{
    sigset_t signals;
    sigemptyset(&signals);
    for (const int number : {SIGUSR1, SIGUSR2, SIGTERM, SIGINT, SIGHUP, SIGCHLD}) sigaddset(&signals, number);
    HOST_CHECK(sigprocmask(SIG_BLOCK, &signals, nullptr) == 0);
    for (int i = 0; i < 300000; ++i) free(churn());
    for (const int number : {SIGUSR1, SIGUSR2, SIGTERM, SIGINT, SIGHUP}) {
        HOST_CHECK(kill(getpid(), number) == 0);
        const timespec patience = {5, 0};
        const int taken = sigtimedwait(&signals, nullptr, &patience);
        say("sent %d, taken %d\n", number, taken);
    }
    const timespec none = {0, 0};
    say("nothing else: %d\n", sigtimedwait(&signals, nullptr, &none));
    return 0;
}
