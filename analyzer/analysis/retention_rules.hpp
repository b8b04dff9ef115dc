// When a large block that the program can still reach is more than it needs.
//
// The rules, as leakan(1) words them, on what is known of one block. Pure functions, any thread.
#pragma once

#include "analyzer/analysis/block_uses.hpp"
#include "analyzer/analysis/page_use.hpp"

#include <array>
#include <cstdint>
#include <optional>

namespace leak::analyzer {

// In the order in which they are tried: a block gets the first that fits.
enum class RetentionPattern : uint8_t {
    pinned,   // kept by a small part of itself
    outgrown, // its contents were larger once
    slack,    // most of it was never touched
    survivor, // nearly all others of its stack were released
    idle,     // not written for long
};
inline constexpr size_t kRetentionPatternCount = 5;

struct RetentionRules {
    uint64_t large_bytes = 64 * 1024; // a block of so much is looked at, and of a stack whose blocks add up to so much
    double pinned_share = 0.05;       // pinned: so much of it is used, at most
    double outgrown_share = 0.5;      // outgrown: so much of it is empty, at least
    double slack_share = 0.5;         // slack: so much of it was never touched, at least
    double idle_share = 0.5;          // idle: not written for so much of the run, at least
    uint64_t idle_bytes = 1 << 20;    // of a stack's idle blocks, together: less is not listed
    double survivor_share = 0.95;     // survivor: so many of its stack were released, at least
    uint64_t survivor_siblings = 20;  // of so many, at least
};

// What all blocks of a stack did.
struct SiblingCounts {
    uint64_t allocations = 0;
    uint64_t releases = 0;
    uint64_t released_bytes = 0;
    uint64_t live_blocks = 0;
    uint64_t live_bytes = 0;
    int64_t long_lifetime_ns = 0; // nearly all that were released lived shorter
    friend bool operator==(const SiblingCounts&, const SiblingCounts&) = default;
};

struct BlockEvidence {
    uint64_t bytes = 0;
    int64_t age_ns = 0;             // at the end
    bool is_reallocated = false;    // by realloc() and its kin, last
    SiblingCounts siblings;         //
    std::optional<PageUse> pages;   // nothing: no snapshot has it
    std::optional<PageUse> outside; // of the memory outside the contents
    std::optional<BlockUses> uses;  // nothing: the same, or a mapped range
    int64_t resting_ns = 0;         // its stack allocated nothing for so long, at the end
};

// What is known of the whole run.
struct RunEvidence {
    int64_t end_ns = 0;
    bool has_unwritten = false;          // what was written when
    std::optional<int64_t> last_stop_ns; // of a load
};

struct Retention {
    RetentionPattern pattern = RetentionPattern::pinned;
    uint64_t wasted_bytes = 0;                       // whole pages; 0: not known
    std::array<bool, kRetentionPatternCount> also{}; // other patterns that fit
};

// Pages that were last written before this moment are idle; nothing: none can be.
[[nodiscard]] std::optional<int64_t> idle_since(const RunEvidence& run, const RetentionRules& rules);

// Whether the stack's blocks are one that grew, and was copied or moved each time: the released ones were smaller, and
// add up to about what is left.
[[nodiscard]] bool is_growth_chain(const SiblingCounts& siblings);

// The block is left over of those of its stack. (A growth chain leaves over its last one, and no survivor.)
[[nodiscard]] bool is_survivor(const BlockEvidence& block, const RetentionRules& rules);

// All patterns but survivor, whose waste is not within the block.
[[nodiscard]] std::optional<Retention> judge_retention(const BlockEvidence& block, const RunEvidence& run,
                                                       const RetentionRules& rules);

} // namespace leak::analyzer
