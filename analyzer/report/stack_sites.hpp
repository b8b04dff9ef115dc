// What each stack did since the start: how much it allocated, for how long, and how its live bytes went.
//
// One thread. Memory grows with the distinct stacks.
#pragma once

#include "analyzer/replay/replay.hpp"
#include "analyzer/symbolize/symbolizer.hpp"

#include <cstdint>
#include <vector>

namespace leak::analyzer {

enum class RankBy : uint8_t { allocated, allocations, temporary, peak, live };

// Stacks that look the same to a reader are one site.
struct StackSite {
    std::vector<Frame> frames; // innermost first
    uint64_t allocations = 0;  // heap blocks and mapped ranges
    uint64_t allocated_bytes = 0;
    uint64_t releases = 0; // of heap blocks
    uint64_t released_bytes = 0;
    uint64_t temporary_allocations = 0;
    uint64_t peak_bytes = 0; // where several stacks are one site: the sum of theirs, which it had at most
    uint64_t live_blocks = 0;
    uint64_t live_bytes = 0;
    std::vector<LifetimeCount> lifetimes; // by increasing time
    std::vector<uint32_t> accounts;       // of the trace's StackAccounts
};

// Most first. depth: frames that count, from the innermost; 0: all.
[[nodiscard]] std::vector<StackSite> stack_sites(const ReplayResult& trace, Symbolizer& symbolizer, RankBy rank,
                                                 size_t depth);

// The lifetime that `share` (0..1) of the releases did not reach; 0 where there were none. A site's are known to a
// factor of two.
[[nodiscard]] int64_t lifetime_quantile(const std::vector<LifetimeCount>& lifetimes, double share);

} // namespace leak::analyzer
