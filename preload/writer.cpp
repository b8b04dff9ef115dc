#include "preload/writer.hpp"

#include "preload/os.hpp"
#include "preload/tracer.hpp"

#include <csignal>
#include <linux/close_range.h>
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

constexpr size_t kStackBytes = 128 * 1024;
constexpr size_t kBelowBytes = 64 * 1024; // of thread-local storage below the thread pointer
constexpr size_t kAboveBytes = 4096;      // the thread control block
constexpr size_t kMemoryBytes = kStackBytes + kBelowBytes + kAboveBytes;
constexpr long kIdleMilliseconds = 60'000;
constexpr long kBusyMilliseconds = 100; // others are compressing, all of them

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

[[nodiscard]] uint64_t thread_cpu_ns() noexcept
{
    return os::clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

// Gives the calling thread a table of descriptors of its own, with nothing in it. False: not on this kernel.
[[nodiscard]] bool leave_hosts_descriptors() noexcept
{
    return os::call(SYS_close_range, 0, ~0u, CLOSE_RANGE_UNSHARE) == 0;
}

} // namespace

bool Writer::ensure_running() noexcept
{
    const Status status = status_.load(std::memory_order_acquire);
    if (status != Status::not_started) return status == Status::running;
    if (!g_tracer.settings.writer_thread || g_tracer.is_adrift()) return false;
    const Locked locked(start_lock_);
    if (status_.load(std::memory_order_relaxed) == Status::not_started)
        status_.store(start() ? Status::running : Status::unavailable, std::memory_order_release);
    return status_.load(std::memory_order_relaxed) == Status::running;
}

bool Writer::start() noexcept
{
    // Our thread-local block must lie in the piece of storage that the thread is given.
    const auto below = thread_pointer() - reinterpret_cast<char*>(&t_local);
    if (below <= 0 || static_cast<size_t>(below) > kBelowBytes) return false;
    auto* memory = static_cast<char*>(os::map_memory(kMemoryBytes));
    if (memory == nullptr) return false;
    os::forbid(memory, kPageBytes);
    char* const pointer = memory + kStackBytes + kBelowBytes;
    auto* block = reinterpret_cast<ControlBlock*>(pointer);
    block->self = block->self_again = pointer;
    block->stack_guard = g_tracer.now();
    reinterpret_cast<ThreadLocal*>(pointer - below)->is_writer = true;

    // The thread inherits a mask that blocks every signal: none of the host's is ever taken away from it.
    const os::SignalsBlocked no_handlers;
    constexpr unsigned long flags =
        CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM | CLONE_SETTLS;
    // No handler can fork between this look and the call.
    const bool has_parent = !g_tracer.is_adrift();
    const long result = has_parent ? leak_clone(flags, memory + kStackBytes, pointer, &Writer::main) : -ECHILD;
    if (result > 0) return true;
    os::unmap(memory, kMemoryBytes);
    return false;
}

void Writer::main() noexcept
{
    g_tracer.writer.run();
}

void Writer::run() noexcept
{
    os::call(SYS_prctl, PR_SET_NAME, os::word("libleak"));
    // Not to take a core from the host's threads whenever it is woken: only its share of time.
    const sched_param no_priority{};
    os::call(SYS_sched_setscheduler, 0, SCHED_BATCH, os::word(&no_priority));
    descriptor_ = leave_hosts_descriptors() ? g_tracer.file.open_again() : -1;
    for (;;) {
        os::allow_signal(SIGBUS); // or a fault in a slot kills the process
        const uint32_t seen = work_.load(std::memory_order_acquire);
        const bool has_drained = work_on();
        const bool has_folded = g_tracer.fold_if_due();
        std::atomic_ref(g_tracer.file.header().writer_cpu_ns).store(thread_cpu_ns(), std::memory_order_relaxed);
        if (has_drained || has_folded) continue;
        // Else it would take from the host's threads what they block to wait for it.
        os::block_signal(SIGBUS);
        const bool is_more = g_tracer.pool.full_count() != 0 && g_tracer.state() != State::failed;
        os::futex_wait(reinterpret_cast<uint32_t*>(&work_), seen, is_more ? kBusyMilliseconds : kIdleMilliseconds);
    }
}

bool Writer::work_on() noexcept
{
    serve_request();
    g_tracer.add_wanted_buffers();
    return g_tracer.drains.try_one();
}

void Writer::serve_request() noexcept
{
    if (request_.pending.load(std::memory_order_acquire) == 0) return;
    request_.slot = g_tracer.add_slot(request_.kind, request_.owner_tid, descriptor_);
    request_.pending.store(0, std::memory_order_release);
    os::futex_wake(reinterpret_cast<uint32_t*>(&request_.pending), 1);
}

void Writer::wake() noexcept
{
    if (!ensure_running()) return;
    work_.fetch_add(1, std::memory_order_release);
    os::futex_wake(reinterpret_cast<uint32_t*>(&work_), 1);
}

Slot Writer::request_slot(format::SlotKind kind, uint32_t owner_tid) noexcept
{
    const Locked locked(request_lock_);
    request_.kind = kind;
    request_.owner_tid = owner_tid;
    request_.pending.store(1, std::memory_order_release);
    wake();
    while (request_.pending.load(std::memory_order_acquire) != 0 && !g_tracer.is_adrift())
        os::futex_wait(reinterpret_cast<uint32_t*>(&request_.pending), 1, 100);
    return g_tracer.is_adrift() ? Slot{} : request_.slot;
}

void Writer::reset() noexcept
{
    status_.store(Status::not_started, std::memory_order_relaxed);
    start_lock_.reset();
    request_lock_.reset();
    request_.pending.store(0, std::memory_order_relaxed);
    descriptor_ = -1;
}

} // namespace leak::preload
