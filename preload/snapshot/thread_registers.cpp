#include "preload/snapshot/thread_registers.hpp"

#include "preload/os.hpp"

#include <elf.h>
#include <iterator>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>

namespace leak::preload {

namespace {

using State = ThreadRegisters::State;

constexpr uint64_t kMostWaitNs = 1'000'000'000;

[[nodiscard]] long trace(long request, uint32_t tid, long address, long data) noexcept
{
    return os::call(SYS_ptrace, request, tid, address, data);
}

[[nodiscard]] State ask(uint32_t tid) noexcept
{
    const bool is_asked = trace(PTRACE_SEIZE, tid, 0, 0) >= 0 && trace(PTRACE_INTERRUPT, tid, 0, 0) >= 0;
    return is_asked ? State::asked : State::unknown;
}

// Of a thread that was asked: State::asked if it still runs.
[[nodiscard]] State take(ThreadRegisters& thread) noexcept
{
    int status = 0;
    const long waited = os::call(SYS_wait4, thread.tid, os::word(&status), WNOHANG | __WALL, 0);
    if (waited == 0) return State::asked;
    if (waited < 0 || !WIFSTOPPED(status)) return State::unknown;
    user_regs_struct user{};
    iovec to{&user, sizeof user};
    const bool is_read = trace(PTRACE_GETREGSET, thread.tid, NT_PRSTATUS, os::word(&to)) >= 0;
    // A signal that came first has stopped it, and is still to be delivered.
    const bool is_by_us = status >> 16 == PTRACE_EVENT_STOP;
    static_cast<void>(trace(PTRACE_DETACH, thread.tid, 0, is_by_us ? 0 : WSTOPSIG(status)));
    const uint64_t values[] = {user.rax, user.rbx, user.rcx, user.rdx, user.rsi, user.rdi, user.rbp, user.rsp,
                               user.r8,  user.r9,  user.r10, user.r11, user.r12, user.r13, user.r14, user.r15};
    static_assert(std::size(values) == ThreadRegisters::kCount);
    for (size_t i = 0; i < ThreadRegisters::kCount; ++i) thread.values[i] = values[i];
    return is_read ? State::known : State::unknown;
}

// How many still run.
[[nodiscard]] size_t take_all(MappedArray<ThreadRegisters>& threads) noexcept
{
    size_t running = 0;
    for (ThreadRegisters& thread : threads) {
        if (thread.state == State::asked) thread.state = take(thread);
        running += thread.state == State::asked;
    }
    return running;
}

} // namespace

size_t read_registers(MappedArray<ThreadRegisters>& threads) noexcept
{
    for (ThreadRegisters& thread : threads) thread.state = ask(thread.tid);
    const uint64_t end = os::clock_ns(CLOCK_MONOTONIC) + kMostWaitNs;
    for (size_t before = threads.size();;) {
        const size_t running = take_all(threads);
        if (running == 0 || os::clock_ns(CLOCK_MONOTONIC) > end) return running;
        const timespec pause{0, 20'000};
        if (running == before) os::call(SYS_nanosleep, os::word(&pause), 0);
        before = running;
    }
}

size_t release_late(MappedArray<ThreadRegisters>& threads) noexcept
{
    return take_all(threads);
}

} // namespace leak::preload
