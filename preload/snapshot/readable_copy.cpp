#include "preload/snapshot/readable_copy.hpp"

#include "preload/os.hpp"
#include "preload/signal_action.hpp"

#include <ucontext.h>

// A fault in the middle leaves in rcx how many bytes are left.
asm(R"(
    .text
    .p2align 4
    .globl leak_copy_readable
    .hidden leak_copy_readable
    .type leak_copy_readable, @function
leak_copy_readable:
    .cfi_startproc
    endbr64
    movq %rdx, %rcx
    .globl leak_copy_may_fault
    .hidden leak_copy_may_fault
leak_copy_may_fault:
    rep movsb
    .globl leak_copy_is_over
    .hidden leak_copy_is_over
leak_copy_is_over:
    movq %rdx, %rax
    subq %rcx, %rax
    ret
    .cfi_endproc
    .size leak_copy_readable, . - leak_copy_readable
)");

extern "C" {
uint64_t leak_copy_readable(void* to, const void* from, uint64_t bytes) noexcept;
extern const char leak_copy_may_fault[];
extern const char leak_copy_is_over[];
}

namespace leak::preload {

namespace {

void end_copy(int signal, siginfo_t* info, void* context) noexcept
{
    if (info->si_code <= 0) return; // somebody has sent it
    greg_t& at = static_cast<ucontext_t*>(context)->uc_mcontext.gregs[REG_RIP];
    if (at == reinterpret_cast<greg_t>(leak_copy_may_fault))
        at = reinterpret_cast<greg_t>(leak_copy_is_over);
    else
        set_action(signal, {}); // ends the process, when the fault comes again
}

} // namespace

void begin_readable_copies() noexcept
{
    for (const int signal : {SIGSEGV, SIGBUS}) {
        set_action(signal, action_of(&end_copy, 0));
        os::allow_signal(signal);
    }
}

uint64_t copy_readable(void* to, const void* from, uint64_t bytes) noexcept
{
    return leak_copy_readable(to, from, bytes);
}

} // namespace leak::preload
