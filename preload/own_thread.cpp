#include "preload/own_thread.hpp"

#include "preload/os.hpp"
#include "preload/own_memory.hpp"
#include "preload/tracer.hpp"

#include <atomic>
#include <sched.h>

// leak_clone(flags, stack_top, thread_pointer, function): clone(2) whose child calls function() on the new stack.
// The function never returns. Registers keep the function across the system call.
asm(R"(
    .text
    .p2align 4
    .globl leak_clone
    .hidden leak_clone
    .type leak_clone, @function
leak_clone:
    .cfi_startproc
    endbr64
    movq %rdx, %r8
    movq %rcx, %r9
    xorl %edx, %edx
    xorl %r10d, %r10d
    movl $56, %eax
    syscall
    testq %rax, %rax
    jnz 1f
    .cfi_undefined %rip
    xorl %ebp, %ebp
    call *%r9
    ud2
1:  ret
    .cfi_endproc
    .size leak_clone, . - leak_clone
)");

namespace leak::preload {

extern "C" long leak_clone(unsigned long flags, void* stack_top, void* thread_pointer, void (*function)()) noexcept;

namespace {

constinit std::atomic<uint32_t> g_own_tids[8]{}; // 0: none

constexpr size_t kStackBytes = 128 * 1024;
constexpr size_t kBelowBytes = 64 * 1024; // of thread-local storage below the thread pointer
constexpr size_t kAboveBytes = 4096;      // the thread control block
constexpr size_t kMemoryBytes = kStackBytes + kBelowBytes + kAboveBytes;

// The start of glibc's thread control block (sysdeps/x86_64/nptl/tls.h): what compiled code reads without asking libc.
struct ControlBlock {
    void* self;
    void* dtv;
    void* self_again;
    int multiple_threads;
    int gscope;
    uint64_t system_info;
    uint64_t stack_guard; // at 0x28: code built with -fstack-protector compares it
};

[[nodiscard]] char* thread_pointer() noexcept
{
    char* pointer = nullptr;
    asm("movq %%fs:0, %0" : "=r"(pointer));
    return pointer;
}

} // namespace

bool start_own_thread(void (*main)(), bool is_writer) noexcept
{
    // Our thread-local block must lie in the piece of storage that the thread is given.
    const auto below = thread_pointer() - reinterpret_cast<char*>(&t_local);
    if (below <= 0 || static_cast<size_t>(below) > kBelowBytes) return false;
    auto* memory = static_cast<char*>(map_own(kMemoryBytes));
    if (memory == nullptr) return false;
    os::forbid(memory, kPageBytes);
    char* const pointer = memory + kStackBytes + kBelowBytes;
    auto* block = reinterpret_cast<ControlBlock*>(pointer);
    block->self = block->self_again = pointer;
    block->multiple_threads = 1;
    block->stack_guard = g_tracer.now();
    auto& local = *reinterpret_cast<ThreadLocal*>(pointer - below);
    local.is_own_thread = true;
    local.is_writer = is_writer;

    // The thread inherits a mask that blocks every signal: none of the host's is ever taken away from it.
    const os::SignalsBlocked no_handlers;
    constexpr unsigned long flags =
        CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM | CLONE_SETTLS;
    // No handler can fork between this look and the call.
    const bool has_parent = !g_tracer.is_adrift();
    const long result = has_parent ? leak_clone(flags, memory + kStackBytes, pointer, main) : -ECHILD;
    if (result > 0) return true;
    unmap_own(memory, kMemoryBytes);
    return false;
}

void settle_own_thread() noexcept
{
    for (auto& place : g_own_tids) {
        uint32_t unused = 0;
        if (place.compare_exchange_strong(unused, os::tid(), std::memory_order_relaxed)) break;
    }
    os::call(SYS_prctl, PR_SET_NAME, os::word("libleak"));
    // Not to take a core from the host's threads whenever it is woken: only its share of time.
    const sched_param no_priority{};
    os::call(SYS_sched_setscheduler, 0, SCHED_BATCH, os::word(&no_priority));
}

bool is_own_thread(uint32_t tid) noexcept
{
    for (const auto& place : g_own_tids)
        if (place.load(std::memory_order_relaxed) == tid) return true;
    return false;
}

void forget_own_threads() noexcept
{
    for (auto& place : g_own_tids) place.store(0, std::memory_order_relaxed);
}

} // namespace leak::preload
