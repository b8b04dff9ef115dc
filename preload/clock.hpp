// The stamps of events: the time-stamp counter where it is one clock for all cores, else CLOCK_MONOTONIC.
//
// Any thread, any hook. Order: a release is stamped before the real call, an allocation after it. RDTSC may execute
// early (Intel SDM vol. 2B), which is harmless before a release; RDTSCP waits for the instructions before it, so an
// allocation's stamp is later than the release that made its address free.
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

    [[nodiscard]] uint64_t before_release() const noexcept
    {
        return kind_ == format::StampClock::tsc ? __rdtsc() : monotonic_ns();
    }
    [[nodiscard]] uint64_t after_allocation() const noexcept
    {
        unsigned core = 0;
        return kind_ == format::StampClock::tsc ? __rdtscp(&core) : monotonic_ns();
    }
    [[nodiscard]] format::ClockPair pair() const noexcept
    {
        const uint64_t stamp = after_allocation();
        return {stamp, monotonic_ns()};
    }

    [[nodiscard]] static uint64_t monotonic_ns() noexcept;

private:
    format::StampClock kind_ = format::StampClock::monotonic_ns;
};

} // namespace leak::preload
