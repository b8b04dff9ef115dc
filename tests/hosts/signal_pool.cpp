// A timer signal at a high rate whose handler takes a block from a pool of the program's own (which is allowed
// anywhere), also while an event is being recorded. The interrupted thread, which allocates without a pause, gives it
// back by its very next event. Nothing is left.
#include "host.hpp"
#include "leak.h"

#include <signal.h>
#include <sys/time.h>

namespace {

constexpr int kSignals = 4000;
char pool_block[64];
volatile sig_atomic_t signals_seen = 0;
volatile sig_atomic_t is_taken = 0;

HOST_FRAME void take_block()
{
    leak_alloc(pool_block, sizeof pool_block);
}

HOST_FRAME void on_timer(int)
{
    if (is_taken != 0) return;
    signals_seen = signals_seen + 1;
    take_block();
    is_taken = 1;
}

void give_back_taken()
{
    if (is_taken == 0) return;
    leak_free(pool_block);
    is_taken = 0;
}

} // namespace

int main()
{
    struct sigaction action = {};
    action.sa_handler = on_timer;
    action.sa_flags = SA_RESTART;
    HOST_CHECK(sigaction(SIGALRM, &action, nullptr) == 0);
    const itimerval timer = {{0, 200}, {0, 200}};
    HOST_CHECK(setitimer(ITIMER_REAL, &timer, nullptr) == 0);
    for (size_t i = 0; signals_seen < kSignals; ++i) {
        void* const block = keep(malloc(16 + i % 64));
        give_back_taken();
        free(block);
        give_back_taken();
    }
    const itimerval off = {};
    setitimer(ITIMER_REAL, &off, nullptr);
    give_back_taken();
    return 0;
}
