// SIGBUS: what a store into the trace raises in the host when somebody has cut the file.
//
// Our handler stands in the place of the host's, with its flags and mask, from the moment the trace is created. A fault
// in a slot ends the trace and is repeated on private memory; everything else goes to the host as it wished, and it is
// shown its own wishes as its disposition. A host that ignores SIGBUS is left alone, because what is ignored is
// inherited by programs it starts.
//
// handle() runs on any thread, on the stack and with the mask that the host has set. The others: any thread of the
// host, also in its signal handlers.
#pragma once

#include "preload/signal_action.hpp"

#include <atomic>
#include <cstdint>

namespace leak::preload {

class BusGuard {
public:
    // Puts our handler in. Again in a forked child, where it is in already.
    void install() noexcept;

    // What the host is shown as the disposition of SIGBUS.
    [[nodiscard]] SignalAction shown() noexcept;
    // The host has set a disposition: it becomes its wish, and our handler is put in again.
    void adopt() noexcept;
    [[nodiscard]] bool is_installed() const noexcept { return is_installed_.load(std::memory_order_acquire); }
    [[nodiscard]] static bool is_ours(uint64_t handler) noexcept;

private:
    // Not noexcept: the host's handler may throw through it.
    static void handle(int signal, siginfo_t* info, void* context);
    void deliver(int signal, siginfo_t* info, void* context, bool is_fault);
    static void leave_to_host(int signal, siginfo_t* info, void* context) noexcept;
    void adopt_locked() noexcept;

    static constexpr uint64_t kOnce = uint64_t{1} << 63; // no address has it

    std::atomic<bool> is_installed_{false};
    std::atomic<uint64_t> wish_{0}; // the host's handler, with kOnce for SA_RESETHAND
    SignalAction shown_;            // but for its handler. Control::bus_lock
};

extern constinit BusGuard g_bus_guard;

} // namespace leak::preload
