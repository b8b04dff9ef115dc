// What sets the disposition of a signal: SIGBUS is shared with the guard of the trace, all others are forwarded.
#include "preload/bus_guard.hpp"
#include "preload/real.hpp"

#include <cstring>

using namespace leak::preload;

namespace {

// Calls the real function, which sees and replaces our handler, and gives the host's view of what it says.
template <typename Call> [[nodiscard]] sighandler_t set_handler(Call call) noexcept
{
    if (!g_bus_guard.is_installed()) return call();
    const SignalAction before = g_bus_guard.shown();
    const sighandler_t old = call();
    g_bus_guard.adopt();
    return BusGuard::is_ours(reinterpret_cast<uint64_t>(old)) ? reinterpret_cast<sighandler_t>(before.handler) : old;
}

template <typename Call> [[nodiscard]] int set_something(Call call) noexcept
{
    const int result = call();
    if (g_bus_guard.is_installed()) g_bus_guard.adopt();
    return result;
}

[[nodiscard]] int set_action(int signal, const struct sigaction* action, struct sigaction* old) noexcept
{
    if (signal != SIGBUS || !g_bus_guard.is_installed()) return real().sigaction(signal, action, old);
    const SignalAction before = g_bus_guard.shown();
    const int result = real().sigaction(signal, action, old);
    if (action != nullptr) g_bus_guard.adopt();
    if (result == 0 && old != nullptr && BusGuard::is_ours(reinterpret_cast<uint64_t>(old->sa_sigaction))) {
        old->sa_sigaction = reinterpret_cast<SignalFunction>(before.handler);
        old->sa_flags = static_cast<int>(before.flags);
        old->sa_restorer = reinterpret_cast<void (*)()>(before.restorer);
        std::memcpy(&old->sa_mask, &before.mask, sizeof before.mask);
    }
    return result;
}

} // namespace

LEAK_EXPORT int sigaction(int signal, const struct sigaction* action, struct sigaction* old) noexcept
{
    return set_action(signal, action, old);
}

LEAK_EXPORT int __sigaction(int signal, const struct sigaction* action, struct sigaction* old) noexcept
{
    return set_action(signal, action, old);
}

#define LEAK_HANDLER_SETTER(name)                                            \
    LEAK_EXPORT sighandler_t name(int signal, sighandler_t handler) noexcept \
    {                                                                        \
        if (signal != SIGBUS) return real().name(signal, handler);           \
        return set_handler([&] { return real().name(signal, handler); });    \
    }
LEAK_HANDLER_SETTER(signal)
LEAK_HANDLER_SETTER(bsd_signal)
LEAK_HANDLER_SETTER(ssignal)
LEAK_HANDLER_SETTER(sysv_signal)
LEAK_HANDLER_SETTER(__sysv_signal)
LEAK_HANDLER_SETTER(sigset)

LEAK_EXPORT int sigignore(int signal) noexcept
{
    if (signal != SIGBUS) return real().sigignore(signal);
    return set_something([&] { return real().sigignore(signal); });
}

LEAK_EXPORT int siginterrupt(int signal, int interrupt) noexcept
{
    if (signal != SIGBUS) return real().siginterrupt(signal, interrupt);
    return set_something([&] { return real().siginterrupt(signal, interrupt); });
}
