// The stamps of events: the time-stamp counter where it is one clock for all cores, else CLOCK_MONOTONIC.
//
// Any thread, any hook. A release is stamped before the real call, an allocation after it.
//
// now() is RDTSCP, which waits for the instructions before it. early() is RDTSC, which does not (Intel SDM vol. 2B, AMD
// APM vol. 3): it may execute while the host's load of the very pointer is still on its way. So the stamp of a release
// may be earlier than that of the block's allocation by another thread; replay sees by the address where it belongs
// (format/early_releases.hpp). Allocations are stamped exactly, for whose block is live depends on their order: but
// where no other thread has recorded (BlockRegions) there is no other order than the thread's own.
//
// To read the counter is a good part of what an event costs, so there up to 32 events of a thread in a row have one
// stamp (shares_last_stamp() in recorder.cpp). That is as exact as their time needs to be while they follow each other
// closely, which the writer vouches for: as long as it has work every few milliseconds, it beats once a millisecond or
// so. An event that finds another beat than the one before reads the counter, as does every event where there are no
// beats. Whatever takes a stamp that the next event must not precede beats behind it, too. (Not before it: a thread
// could read the counter in between, and share that.)
//
// A stamp counts 128 ticks: 25 to 64 ns. What must not have the same one are two allocations of an address by different
// threads; between them lie the recording of an allocation and of a release, two calls of the allocator and two
// transfers from one processor to another. Finer stamps are noise that does not compress: a bit is an eighth of a byte.
#pragma once

#include "format/clock_pair.hpp"

#include <atomic>
#include <cstdint>
#include <x86intrin.h>

namespace leak::preload {

class Clock {
public:
    // Chooses the clock: the counter needs the CPU's word that it is invariant and the kernel's that it trusts it.
    void init() noexcept;

    [[nodiscard]] format::StampClock kind() const noexcept { return kind_; }

    [[nodiscard]] uint64_t now() const noexcept { return is_counter() ? counter_now() : monotonic_ns(); }
    // Cheaper, and perhaps a little early: for releases, and where no other thread comes.
    [[nodiscard]] uint64_t early() const noexcept { return is_counter() ? counter_early() : monotonic_ns(); }

    // The same, where it is the counter.
    [[nodiscard]] bool is_counter() const noexcept { return kind_ == kCounter; }
    [[nodiscard]] static uint64_t counter_now() noexcept
    {
        unsigned core = 0;
        return __rdtscp(&core) >> tsc_shift(kCounter);
    }
    [[nodiscard]] static uint64_t counter_early() noexcept { return __rdtsc() >> tsc_shift(kCounter); }

    // The number of the last beat; odd while there are beats. Any thread.
    [[nodiscard]] uint64_t beats() const noexcept { return beats_.load(std::memory_order_relaxed); }
    [[nodiscard]] static bool is_beating(uint64_t beats) noexcept { return (beats & 1) != 0; }
    void beat() noexcept { beats_.fetch_add(2, std::memory_order_relaxed); }
    // The writer beats from now on, or does not.
    void begin_beats() noexcept
    {
        beat();
        beats_.fetch_or(1, std::memory_order_relaxed);
    }
    void end_beats() noexcept
    {
        if (is_beating(beats())) beats_.fetch_and(~uint64_t{1}, std::memory_order_relaxed);
    }

    [[nodiscard]] format::ClockPair pair() const noexcept
    {
        return format::read_together([this] { return now(); }, monotonic_ns);
    }

    [[nodiscard]] static uint64_t monotonic_ns() noexcept;

private:
    static constexpr auto kCounter = format::StampClock::tsc_128;

    format::StampClock kind_ = format::StampClock::monotonic_ns;
    std::atomic<uint64_t> beats_{0};
};

} // namespace leak::preload
