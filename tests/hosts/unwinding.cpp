// Stacks that are hard to follow: alloca, realigned frames, exceptions, longjmp, fibers, coroutines, handlers on
// another stack, deep recursion, calls from places that never return. Each part allocates and leaves some blocks; the
// test compares every stack with libunwind's. Built several times, with different options of the compiler.
#include "host.hpp"

#include <alloca.h>
#include <coroutine>
#include <csetjmp>
#include <csignal>
#include <string>
#include <ucontext.h>

namespace {

HOST_FRAME void* block_of(size_t bytes)
{
    return keep(malloc(bytes));
}

HOST_FRAME void dynamic_frame(unsigned words)
{
    auto* room = static_cast<char*>(alloca(words * 16 + 1));
    keep(room);
    free(block_of(words + 1));
}

struct alignas(64) Wide {
    double numbers[8];
};

HOST_FRAME void realigned_frame(unsigned words)
{
    Wide wide = {};
    keep(&wide);
    auto* room = static_cast<char*>(alloca(words * 16 + 1));
    keep(room);
    dynamic_frame(words);
    free(block_of(3));
}

HOST_FRAME void throws(unsigned depth)
{
    const std::string text(depth + 30, 'x');
    dynamic_frame(depth);
    if (depth == 0) throw text;
    realigned_frame(depth);
    throws(depth - 1);
    dynamic_frame(1);
}

jmp_buf back;
HOST_FRAME void jumps(unsigned depth)
{
    realigned_frame(depth);
    if (depth == 0) longjmp(back, 1);
    jumps(depth - 1);
    dynamic_frame(1);
}

HOST_FRAME void throw_and_jump(unsigned i)
{
    try {
        throws(i % 10);
    } catch (const std::string& text) {
        block_of(text.size());
    }
    if (setjmp(back) == 0) jumps(i % 9);
}

ucontext_t main_context;
ucontext_t fiber_contexts[2];
void fiber(int which)
{
    for (unsigned i = 0; i < 100; ++i) {
        realigned_frame(i % 5);
        swapcontext(&fiber_contexts[which], &main_context);
    }
}

struct Generator {
    struct promise_type {
        Generator get_return_object() { return {std::coroutine_handle<promise_type>::from_promise(*this)}; }
        std::suspend_always initial_suspend() { return {}; }
        std::suspend_always final_suspend() noexcept { return {}; }
        std::suspend_always yield_value(int) { return {}; }
        void return_void() {}
        void unhandled_exception() {}
    };
    std::coroutine_handle<promise_type> handle;
};
Generator generate()
{
    for (unsigned i = 0;; ++i) {
        dynamic_frame(i % 7);
        co_yield static_cast<int>(i);
    }
}

HOST_FRAME void recurse(unsigned depth)
{
    if (depth % 50 == 0) dynamic_frame(depth % 3);
    if (depth > 0) recurse(depth - 1);
    if (depth % 70 == 0) free(block_of(9));
}

HOST_FRAME void on_signal(int)
{
    realigned_frame(2);
}

[[noreturn]] HOST_FRAME void leaves()
{
    dynamic_frame(4);
    say("done\n");
    _exit(0);
}

} // namespace

int main()
{
    for (unsigned i = 0; i < 300; ++i) throw_and_jump(i);
    static char stacks[2][64 * 1024];
    for (int which = 0; which < 2; ++which) {
        getcontext(&fiber_contexts[which]);
        fiber_contexts[which].uc_stack.ss_sp = stacks[which];
        fiber_contexts[which].uc_stack.ss_size = sizeof stacks[which];
        fiber_contexts[which].uc_link = &main_context;
        makecontext(&fiber_contexts[which], reinterpret_cast<void (*)()>(&fiber), 1, which);
    }
    for (int i = 0; i < 150; ++i) {
        swapcontext(&main_context, &fiber_contexts[i % 2]);
        if (i % 3 == 0) realigned_frame(1);
    }
    const Generator generator = generate();
    for (unsigned i = 0; i < 300; ++i) {
        generator.handle.resume();
        if (i % 3 == 0) realigned_frame(3);
    }
    generator.handle.destroy();
    for (unsigned depth : {10u, 300u, 250u, 900u, 2000u, 100u, 1200u, 5u}) recurse(depth);

    static char signal_stack[64 * 1024];
    stack_t alternate = {};
    alternate.ss_sp = signal_stack;
    alternate.ss_size = sizeof signal_stack;
    HOST_CHECK(sigaltstack(&alternate, nullptr) == 0);
    struct sigaction action = {};
    action.sa_handler = on_signal;
    action.sa_flags = SA_ONSTACK;
    HOST_CHECK(sigaction(SIGUSR1, &action, nullptr) == 0);
    for (int i = 0; i < 100; ++i) {
        raise(SIGUSR1);
        dynamic_frame(1);
    }
    leaves();
}
