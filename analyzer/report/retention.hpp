// Large blocks that stay although the program needs little of them: which, why, how much of them is wasted, and who
// keeps them.
//
// One thread. Memory: retained_blocks.hpp; 8 bytes a block for the paths, where anything is found.
#pragma once

#include "analyzer/analysis/retention_rules.hpp"
#include "analyzer/report/block_classes.hpp"
#include "analyzer/report/kept_by.hpp"
#include "analyzer/report/suppressions.hpp"
#include "analyzer/symbolize/symbolizer.hpp"

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

namespace leak::analyzer {

struct RetentionOptions {
    RetentionRules rules = {};
    std::optional<uint64_t> large_bytes = {};   // nothing: as LEAK_LARGE says
    size_t depth = 0;                           // frames that count, from the innermost; 0: all
    const Suppressions* suppressions = nullptr; // stacks that they hide are left out
};

struct RetentionBlock {
    uint64_t address = 0;
    uint64_t bytes = 0;
    uint64_t wasted_bytes = 0;
    int64_t allocated_ns = 0;
    BlockEvidence evidence;
};

// Sums over the blocks of a site.
struct RetentionEvidence {
    int64_t oldest_ns = 0; // allocated
    int64_t youngest_ns = 0;
    uint64_t blocks_with_pages = 0; // of which it is known what was touched
    uint64_t resident_bytes = 0;
    uint64_t slack_bytes = 0;
    uint64_t idle_bytes = 0;
    int64_t unwritten_ns = 0;      // since when those were not written
    uint64_t blocks_with_uses = 0; // of which the pointers are known
    uint64_t pointers_to_start = 0;
    uint64_t pointers_inside = 0;
    uint64_t owners = 0;       // of those to the start: of mere owners
    uint64_t window_bytes = 0; // that pointers to the inside lead to
    uint64_t blocks_with_contents = 0;
    uint64_t contents_bytes = 0; // as headers of containers say
    uint64_t reallocated = 0;    // blocks
    SiblingCounts siblings;      // of all its stacks
};

struct RetentionSite {
    RetentionPattern pattern = RetentionPattern::pinned;
    uint64_t blocks = 0;
    uint64_t bytes = 0;
    uint64_t wasted_bytes = 0;
    std::array<bool, kRetentionPatternCount> also{}; // patterns that fit some of them besides
    bool is_mapped = false;                          // ranges from mmap
    RetentionEvidence evidence;
    std::vector<RetentionBlock> examples; // those with most waste
    std::vector<KeptBy> kept_by;          // of the first example; empty where no path is known
    std::vector<Frame> frames;            // innermost first
};

struct RetentionReport {
    TraceInfo info;
    RetentionRules rules;
    std::optional<int64_t> snapshot_ns; // nothing: there is none
    std::optional<CoreFacts> core;      // that is used in its place
    bool pages_are_known = true;        // which were ever touched
    bool has_unwritten = false;         // it is known what was not written since when
    bool had_load_stop = false;
    uint64_t judged_blocks = 0;
    std::vector<RetentionSite> sites; // those first that waste most
};

// memory: the trace's, or null.
[[nodiscard]] RetentionReport make_retention_report(const ReplayResult& trace, const MemoryFacts* memory,
                                                    Symbolizer& symbolizer, const RetentionOptions& options);

} // namespace leak::analyzer
