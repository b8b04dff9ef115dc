// Two fibers (swapcontext) on stacks of their own allocate in turn: each block shows its own fiber's frames only.
#include "host.hpp"

#include <ucontext.h>

namespace {

ucontext_t main_context, red_context, blue_context;
alignas(64) char red_stack[64 * 1024];
alignas(64) char blue_stack[64 * 1024];

HOST_FRAME void* red_block()
{
    return keep(malloc(35));
}
HOST_FRAME void* blue_block()
{
    return keep(malloc(36));
}

HOST_FRAME void red_deeper(int depth)
{
    if (depth > 0) {
        red_deeper(depth - 1);
        asm volatile("");
        return;
    }
    red_block();
    swapcontext(&red_context, &blue_context);
    red_block();
}

HOST_FRAME void red_fiber()
{
    for (int i = 0; i < 50; ++i) {
        red_deeper(i % 7);
        swapcontext(&red_context, &blue_context);
    }
}

HOST_FRAME void blue_fiber()
{
    for (;;) {
        blue_block();
        swapcontext(&blue_context, &red_context);
    }
}

} // namespace

int main()
{
    getcontext(&red_context);
    red_context.uc_stack.ss_sp = red_stack;
    red_context.uc_stack.ss_size = sizeof red_stack;
    red_context.uc_link = &main_context;
    makecontext(&red_context, red_fiber, 0);
    getcontext(&blue_context);
    blue_context.uc_stack.ss_sp = blue_stack;
    blue_context.uc_stack.ss_size = sizeof blue_stack;
    blue_context.uc_link = &main_context;
    makecontext(&blue_context, blue_fiber, 0);
    swapcontext(&main_context, &red_context);
    say("back\n");
    return 0;
}
