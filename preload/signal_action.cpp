#include "preload/signal_action.hpp"

#include "preload/os.hpp"

// The bytes of `mov $15, %rax; syscall` are how unwinders know a signal frame whose code has no frame information; they
// look one byte before it first, and must not find another function there.
asm(R"(
    .text
    .p2align 4
    nop
    .globl leak_return_from_signal
    .hidden leak_return_from_signal
    .type leak_return_from_signal, @function
leak_return_from_signal:
    movq $15, %rax
    syscall
    .size leak_return_from_signal, . - leak_return_from_signal
)");

namespace leak::preload {

extern "C" void leak_return_from_signal();

namespace {

constexpr long kMaskBytes = sizeof(uint64_t);

} // namespace

SignalAction action_of(SignalFunction function, uint64_t flags) noexcept
{
    return {reinterpret_cast<uint64_t>(function), flags | SA_SIGINFO | kHasRestorer,
            reinterpret_cast<uint64_t>(&leak_return_from_signal), 0};
}

SignalAction get_action(int signal) noexcept
{
    SignalAction action;
    os::call(SYS_rt_sigaction, signal, 0, os::word(&action), kMaskBytes);
    return action;
}

void set_action(int signal, const SignalAction& action) noexcept
{
    os::call(SYS_rt_sigaction, signal, os::word(&action), 0, kMaskBytes);
}

} // namespace leak::preload
