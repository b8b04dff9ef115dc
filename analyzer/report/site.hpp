// Unfreed blocks that belong together: of one stack as a person reads it, or of one function, module, thread or size.
//
// One thread. Memory grows with the distinct stacks, not with the blocks.
#pragma once

#include "analyzer/replay/replay.hpp"
#include "analyzer/report/block_classes.hpp"
#include "analyzer/report/suppressions.hpp"
#include "analyzer/symbolize/symbolizer.hpp"

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace leak::analyzer {

enum class GroupBy : uint8_t { stack, function, module, thread, size };
enum class SortBy : uint8_t { bytes, blocks, age };

struct SiteOptions {
    GroupBy by = GroupBy::stack;
    SortBy sort = SortBy::bytes;
    size_t depth = 0;       // frames that count, from the innermost; 0: all
    uint64_t min_bytes = 0; // smaller sites are counted, not shown
};

struct Site {
    std::string label; // what the blocks have in common; empty for stacks
    uint64_t blocks = 0;
    uint64_t bytes = 0;
    uint64_t samples = 0; // in a sampled trace: the blocks that were recorded; the numbers above are estimates
    int64_t first_ns = 0;
    int64_t last_ns = 0;
    // By class, in the order of BlockClass. Of sampled traces estimates, too.
    std::array<uint64_t, kBlockClassCount> class_blocks{};
    std::array<uint64_t, kBlockClassCount> class_bytes{};
    uint64_t below_blocks = 0; // indirect ones that are lost with unreachable ones of this site
    uint64_t below_bytes = 0;
    std::vector<format::EventKind> kinds{}; // ascending
    std::vector<uint32_t> tids{};           // ascending
    bool truncated = false;                 // the outer end of some of the stacks is missing
    std::vector<Frame> frames{};            // innermost first; empty for threads and sizes
};

struct Grouping {
    std::vector<Site> sites;       // sorted, at least min_bytes each
    uint64_t blocks = 0;           // of all sites, small ones included, suppressed ones not
    uint64_t bytes = 0;            // "
    uint64_t truncated_blocks = 0; // of them, blocks whose stack was cut
    uint64_t small_sites = 0;      // below min_bytes
    uint64_t small_bytes = 0;
    std::array<uint64_t, kBlockClassCount> class_blocks{}; // of all sites, suppressed ones not
    std::array<uint64_t, kBlockClassCount> class_bytes{};
};

// `suppressions` may be null: everything is shown. facts: of each of the blocks, or empty. Sites with blocks that can't
// be reached come first.
[[nodiscard]] Grouping group_blocks(const std::vector<LiveBlock>& blocks, std::span<const BlockFact> facts,
                                    const ReplayResult& trace, Symbolizer& symbolizer, Suppressions* suppressions,
                                    const SiteOptions& options);

} // namespace leak::analyzer
