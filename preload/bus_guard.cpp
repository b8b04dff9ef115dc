#include "preload/bus_guard.hpp"

#include "preload/os.hpp"
#include "preload/tracer.hpp"

#include <ucontext.h>

namespace leak::preload {

constinit BusGuard g_bus_guard;

bool BusGuard::is_ours(uint64_t handler) noexcept
{
    return handler == reinterpret_cast<uint64_t>(&BusGuard::handle);
}

void BusGuard::install() noexcept
{
    const os::SignalsBlocked no_handlers;
    const Locked locked(g_tracer.bus_lock());
    adopt_locked();
    is_installed_.store(true, std::memory_order_release);
}

SignalAction BusGuard::shown() noexcept
{
    const os::SignalsBlocked no_handlers;
    const Locked locked(g_tracer.bus_lock());
    SignalAction action = shown_;
    action.handler = wish_.load(std::memory_order_relaxed) & ~kOnce;
    return action;
}

void BusGuard::adopt() noexcept
{
    if (g_tracer.is_vfork_child()) return; // its dispositions are its own, and this memory is not
    const os::SignalsBlocked no_handlers;
    const Locked locked(g_tracer.bus_lock());
    adopt_locked();
}

void BusGuard::adopt_locked() noexcept
{
    SignalAction action = get_action(SIGBUS);
    if (is_ours(action.handler)) {
        // siginterrupt() has changed a flag, or nothing has happened.
        constexpr uint64_t kRestart = SA_RESTART;
        if (shown_.has_function()) shown_.flags = (shown_.flags & ~kRestart) | (action.flags & kRestart);
        return;
    }
    shown_ = action;
    const bool once = action.has_function() && (action.flags & SA_RESETHAND) != 0;
    wish_.store(action.handler | (once ? kOnce : 0), std::memory_order_release);
    if (action.handler == reinterpret_cast<uint64_t>(SIG_IGN)) return;
    const SignalAction ours = action_of(&BusGuard::handle, SA_RESTART | SA_ONSTACK);
    if (action.has_function()) {
        action.handler = ours.handler;
        action.flags = (action.flags | SA_SIGINFO) & ~uint64_t{SA_RESETHAND};
        set_action(SIGBUS, action);
    } else {
        set_action(SIGBUS, ours);
    }
}

void BusGuard::handle(int signal, siginfo_t* info, void* context)
{
    // What a process was sent, or is told of memory that it does not use at the moment.
    const bool is_fault = info->si_code > 0 && info->si_code != BUS_MCEERR_AO;
    if (is_fault && g_tracer.file.has_mapped(info->si_addr)) {
        {
            const os::SignalsBlocked no_handlers;
            g_tracer.file.leave(info->si_addr);
        }
        os::allow_signal(SIGBUS); // until we return: what is still mapped may be cut next
        g_tracer.note_cut_file();
    } else if (t_local.is_own_thread && !is_fault) {
        leave_to_host(signal, info, context);
    } else {
        g_bus_guard.deliver(signal, info, context, is_fault);
    }
}

// A thread of ours has taken what was sent to the process, and can't run the host's handler. It goes back to the
// process, and the thread blocks it for the rest of its round: while all threads of the host block it, it must wait for
// them.
void BusGuard::leave_to_host(int signal, siginfo_t* info, void* context) noexcept
{
    os::block_signal(signal);
    sigaddset(&static_cast<ucontext_t*>(context)->uc_sigmask, signal);
    // Only the first thread of a process may send it what another process has sent by kill().
    const uint32_t process = g_tracer.process();
    if (info->si_code >= 0 || os::call(SYS_rt_sigqueueinfo, process, signal, os::word(info)) < 0)
        os::call(SYS_kill, process, signal);
}

void BusGuard::deliver(int signal, siginfo_t* info, void* context, bool is_fault)
{
    uint64_t wish = wish_.load(std::memory_order_acquire);
    // SA_RESETHAND: one thread gets the handler, whoever comes later the default.
    while ((wish & kOnce) != 0 && !wish_.compare_exchange_weak(wish, 0, std::memory_order_acq_rel)) continue;
    const uint64_t handler = wish & ~kOnce;
    if (handler > 1) return reinterpret_cast<SignalFunction>(handler)(signal, info, context);
    if (handler == reinterpret_cast<uint64_t>(SIG_IGN) && !is_fault) return;
    // The default. A fault comes again when this returns, and what was sent is sent again.
    set_action(signal, {});
    if (!is_fault) os::call(SYS_rt_tgsigqueueinfo, os::pid(), os::tid(), signal, os::word(info));
}

} // namespace leak::preload
