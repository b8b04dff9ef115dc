// Signal dispositions as the kernel has them, by the system call: no libc code, no interposed function.
#pragma once

#include <csignal>
#include <cstdint>

namespace leak::preload {

// struct kernel_sigaction (Linux, arch/x86/include/uapi/asm/signal.h).
struct SignalAction {
    uint64_t handler = 0; // 0 default, 1 ignore, or a function
    uint64_t flags = 0;
    uint64_t restorer = 0;
    uint64_t mask = 0;

    [[nodiscard]] bool has_function() const noexcept { return handler > 1; }
};

// x86-64 has no signal return but the one that the action names.
inline constexpr uint64_t kHasRestorer = 0x0400'0000;

using SignalFunction = void (*)(int signal, siginfo_t* info, void* context);

// Calls function(signal, info, context), with SA_SIGINFO and a way back added to `flags`.
[[nodiscard]] SignalAction action_of(SignalFunction function, uint64_t flags) noexcept;

[[nodiscard]] SignalAction get_action(int signal) noexcept;
void set_action(int signal, const SignalAction& action) noexcept;

} // namespace leak::preload
