// The stamps of events: the time-stamp counter where it is one clock for all cores, else CLOCK_MONOTONIC.
//
// Any thread, any hook. Order: a release is stamped before the real call, an allocation after it. Both by RDTSCP, which
// waits for the instructions before it. RDTSC does not (Intel SDM vol. 2B, AMD APM vol. 3): before a release it may
// execute while the host's load of the very pointer is still on its way, and be earlier than the stamp of the block's
// allocation by another thread.
//
// A stamp counts 64 ticks: 16 to 32 ns. Between the stamps of an allocation and of its release, and of a release and of
// the allocation that is given its address next, another thread's cache has to fetch what was written after the first
// one was taken (the event's record, then the host's or the allocator's data), which takes longer; of events with the
// same stamp replay takes releases first. Finer stamps are noise that does not compress: 1.3 bytes an allocation.
#pragma once

#include "format/layout.hpp"

#include <cstdint>
#include <x86intrin.h>

namespace leak::preload {

class Clock {
public:
    // Chooses the clock: the counter needs the CPU's word that it is invariant and the kernel's that it trusts it.
    void init() noexcept;

    [[nodiscard]] format::StampClock kind() const noexcept { return kind_; }

    [[nodiscard]] uint64_t now() const noexcept
    {
        unsigned core = 0;
        return kind_ == format::StampClock::tsc_64 ? __rdtscp(&core) >> format::kTscShift : monotonic_ns();
    }
    [[nodiscard]] format::ClockPair pair() const noexcept
    {
        const uint64_t stamp = now();
        return {stamp, monotonic_ns()};
    }

    [[nodiscard]] static uint64_t monotonic_ns() noexcept;

private:
    format::StampClock kind_ = format::StampClock::monotonic_ns;
};

} // namespace leak::preload
