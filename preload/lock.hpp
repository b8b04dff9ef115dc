// The lock of the slow paths: a futex mutex (Drepper, "Futexes Are Tricky", 2011, mutex 2).
//
// A thread that holds one says so in its thread-local state, so that a signal handler's event, which must not wait for
// the thread it interrupted, is counted as lost instead. Ranks: ARCHITECTURE.md. After fork the child makes new ones.
#pragma once

#include "preload/os.hpp"
#include "preload/thread_local.hpp"

#include <atomic>

namespace leak::preload {

class Lock {
public:
    [[nodiscard]] bool try_lock() noexcept
    {
        enter();
        uint32_t expected = 0;
        if (state_.compare_exchange_strong(expected, 1, std::memory_order_acquire)) return true;
        leave();
        return false;
    }

    void lock() noexcept
    {
        enter();
        uint32_t expected = 0;
        if (state_.compare_exchange_strong(expected, 1, std::memory_order_acquire)) return;
        while (state_.exchange(2, std::memory_order_acquire) != 0) os::futex_wait(word(), 2, 1000);
    }

    void unlock() noexcept
    {
        // Release: pairs with the acquire in lock() and try_lock().
        if (state_.exchange(0, std::memory_order_release) == 2) os::futex_wake(word(), 1);
        leave();
    }

    // In a forked child, where the holder is gone.
    void reset() noexcept { state_.store(0, std::memory_order_relaxed); }

private:
    static void enter() noexcept
    {
        ++t_local.locks_held;
        std::atomic_signal_fence(std::memory_order_seq_cst);
    }
    static void leave() noexcept
    {
        std::atomic_signal_fence(std::memory_order_seq_cst);
        --t_local.locks_held;
    }
    [[nodiscard]] const uint32_t* word() const noexcept { return reinterpret_cast<const uint32_t*>(&state_); }

    std::atomic<uint32_t> state_{0}; // 0 free, 1 held, 2 held and waited for
};

class Locked {
public:
    explicit Locked(Lock& lock) noexcept : lock_(lock) { lock_.lock(); }
    ~Locked() { lock_.unlock(); }
    Locked(const Locked&) = delete;
    Locked& operator=(const Locked&) = delete;

private:
    Lock& lock_;
};

} // namespace leak::preload
