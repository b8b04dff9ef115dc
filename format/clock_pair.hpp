// Two clocks read at the same moment, by whoever writes a trace and whoever reads it.
#pragma once

#include "format/layout.hpp"

namespace leak::format {

// stamp(), monotonic_ns(): the clocks now. Of a few tries the one that took the least time holds: the first call of a
// clock is slow, and the thread may be interrupted between the two. A few times 50 ns.
template <typename Stamp, typename MonotonicNs>
[[nodiscard]] ClockPair read_together(Stamp&& stamp, MonotonicNs&& monotonic_ns) noexcept
{
    constexpr int kTries = 4;
    ClockPair best{};
    uint64_t least = UINT64_MAX;
    for (int i = 0; i < kTries; ++i) {
        const uint64_t before = stamp();
        const uint64_t ns = monotonic_ns();
        const uint64_t took = stamp() - before;
        if (took >= least) continue;
        least = took;
        best = {before + took / 2, ns};
    }
    return best;
}

} // namespace leak::format
