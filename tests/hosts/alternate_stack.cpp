// A handler on a small alternate stack (what the kernel needs, and 8 KiB) allocates; then the handler of a stack
// overflow does, and ends the process.
#include "host.hpp"

#include <signal.h>

namespace {

HOST_FRAME void* made_on_alternate_stack(size_t bytes)
{
    return keep(malloc(bytes));
}

HOST_FRAME void on_user_signal(int)
{
    made_on_alternate_stack(54);
}
HOST_FRAME void on_overflow(int)
{
    made_on_alternate_stack(55);
    _exit(17);
}

HOST_FRAME int overflow(int depth)
{
    volatile char frame[4096];
    frame[0] = static_cast<char>(depth);
    return overflow(depth + 1) + frame[0];
}

} // namespace

int main()
{
    stack_t stack = {};
    stack.ss_size = static_cast<size_t>(sysconf(_SC_MINSIGSTKSZ)) + 8192;
    stack.ss_sp = mmap(nullptr, stack.ss_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    HOST_CHECK(sigaltstack(&stack, nullptr) == 0);
    struct sigaction action = {};
    action.sa_flags = SA_ONSTACK;
    action.sa_handler = on_user_signal;
    HOST_CHECK(sigaction(SIGUSR1, &action, nullptr) == 0);
    action.sa_handler = on_overflow;
    HOST_CHECK(sigaction(SIGSEGV, &action, nullptr) == 0);
    for (int i = 0; i < 100; ++i) raise(SIGUSR1);
    return overflow(0);
}
