#include "analyzer/analysis/retention_rules.hpp"

#include <algorithm>

namespace leak::analyzer {

using format::kSnapshotPageBytes;

namespace {

constexpr uint64_t kLeastSteps = 3;      // of a growth chain
constexpr uint64_t kMostReleased = 10;   // times what is left, of a growth chain
constexpr double kIdlePages = 0.9;       // of those touched: a header may still be written
constexpr double kFillSlackShare = 0.75; // never touched, where a pointer says how far it is filled by now
constexpr double kLeastLeftOver = 0.25;  // of a block: touched, and of no use any more
constexpr double kAlike = 4;             // times as large: a survivor and its siblings
constexpr int64_t kLongerThanMost =
    1; // times the long lifetime of siblings, which is known to a factor of two: a survivor

[[nodiscard]] bool is_share(uint64_t part, uint64_t whole, double share)
{
    return whole > 0 && static_cast<double>(part) >= share * static_cast<double>(whole);
}

[[nodiscard]] uint64_t idle_pages(const BlockEvidence& block, const RunEvidence& run, const RetentionRules& rules)
{
    const std::optional<int64_t> since_ns = idle_since(run, rules);
    if (!block.pages || !since_ns || run.end_ns - block.age_ns > *since_ns) return 0;
    return is_share(block.pages->unwritten, block.pages->touched, kIdlePages) ? block.pages->unwritten : 0;
}

[[nodiscard]] std::optional<uint64_t> pinned_bytes(const BlockEvidence& block, const RetentionRules& rules)
{
    if (!block.uses || block.uses->is_used_as_whole || !block.uses->window) return std::nullopt;
    const OffsetRange& window = *block.uses->window;
    // In small blocks a page is more than the share.
    const double most = std::max(rules.pinned_share * static_cast<double>(block.bytes),
                                 std::min<double>(2 * kSnapshotPageBytes, static_cast<double>(block.bytes) / 2));
    if (static_cast<double>(window.to - window.from) > most) return std::nullopt;
    return (block.bytes - (window.to - window.from)) / kSnapshotPageBytes * kSnapshotPageBytes;
}

// By what a container's header says, or how it came to be.
[[nodiscard]] std::optional<uint64_t> outgrown_bytes(const BlockEvidence& block, const RunEvidence& run,
                                                     const RetentionRules& rules)
{
    if (!block.pages) return std::nullopt;
    if (block.uses && block.uses->contents && block.outside) {
        const PageUse& outside = *block.outside;
        const OffsetRange& contents = *block.uses->contents;
        const bool is_empty = is_share(block.bytes - (contents.to - contents.from), block.bytes, rules.outgrown_share);
        const bool was_used = is_share(outside.touched, block.pages->pages, kLeastLeftOver);
        // What is empty now may be filled again and again.
        const bool is_still_used = run.has_unwritten && outside.steady * 2 < outside.touched;
        if (!is_empty || !was_used || is_still_used) return std::nullopt;
        return outside.pages * kSnapshotPageBytes;
    }
    if (!block.is_reallocated && !is_growth_chain(block.siblings)) return std::nullopt;
    const uint64_t empty = block.pages->untouched() + idle_pages(block, run, rules);
    // A buffer that has just doubled is half empty.
    if (!is_share(empty, block.pages->pages, rules.outgrown_share) || empty * 2 == block.pages->pages)
        return std::nullopt;
    return block.pages->untouched() * kSnapshotPageBytes; // what is idle may be read
}

// A pointer to where the touched part ends: it is being filled, or was filled so far.
[[nodiscard]] bool has_fill_pointer(const BlockEvidence& block)
{
    if (!block.uses || block.pages->touched_end == 0) return false;
    const uint64_t filled = block.pages->touched * kSnapshotPageBytes;
    const uint64_t pointer = block.uses->contents ? block.uses->contents->to : block.uses->furthest;
    return pointer + 2 * kSnapshotPageBytes >= filled && pointer <= filled + 2 * kSnapshotPageBytes;
}

[[nodiscard]] std::optional<uint64_t> slack_bytes(const BlockEvidence& block, const RetentionRules& rules)
{
    if (!block.pages) return std::nullopt;
    const double share = has_fill_pointer(block) ? std::max(kFillSlackShare, rules.slack_share) : rules.slack_share;
    const uint64_t slack = block.pages->untouched();
    // The first and the last page belong to neighbours, too.
    const uint64_t all = std::max<uint64_t>(block.pages->pages, 1);
    if (slack == 0 || !is_share(slack, all, share)) return std::nullopt;
    return slack * kSnapshotPageBytes;
}

[[nodiscard]] bool is_idle(const BlockEvidence& block, const RunEvidence& run, const RetentionRules& rules)
{
    const uint64_t idle = idle_pages(block, run, rules);
    return idle != 0 && is_share(idle, block.pages->pages, 1 - rules.slack_share);
}

// Without a snapshot: it grew in steps, and then no more. How much of it is in use is not known.
[[nodiscard]] bool has_stopped_growing(const BlockEvidence& block, const RunEvidence& run, const RetentionRules& rules)
{
    const int64_t rest_ns = std::min(block.resting_ns, block.age_ns);
    return block.is_reallocated && is_growth_chain(block.siblings) && run.last_stop_ns &&
           run.end_ns - rest_ns <= *run.last_stop_ns &&
           static_cast<double>(rest_ns) >= rules.idle_share * static_cast<double>(run.end_ns);
}

} // namespace

std::optional<int64_t> idle_since(const RunEvidence& run, const RetentionRules& rules)
{
    if (!run.has_unwritten || !run.last_stop_ns) return std::nullopt;
    const auto half_ns = static_cast<int64_t>((1 - rules.idle_share) * static_cast<double>(run.end_ns));
    return std::min(half_ns, *run.last_stop_ns);
}

bool is_growth_chain(const SiblingCounts& siblings)
{
    if (siblings.live_blocks == 0 || siblings.releases < kLeastSteps * siblings.live_blocks) return false;
    const double left = static_cast<double>(siblings.live_bytes) / static_cast<double>(siblings.live_blocks);
    const double released = static_cast<double>(siblings.released_bytes) / static_cast<double>(siblings.releases);
    // Doubled each time they add up to what is left, by an eighth each time to eight times that.
    return released * 2 <= left && siblings.released_bytes <= kMostReleased * siblings.live_bytes;
}

bool is_survivor(const BlockEvidence& block, const RetentionRules& rules)
{
    const SiblingCounts& siblings = block.siblings;
    if (siblings.allocations < rules.survivor_siblings || siblings.releases == 0 || block.is_reallocated) return false;
    // Of a kind: about as large.
    const double released = static_cast<double>(siblings.released_bytes) / static_cast<double>(siblings.releases);
    const auto bytes = static_cast<double>(block.bytes);
    return is_share(siblings.releases, siblings.allocations, rules.survivor_share) && !is_growth_chain(siblings) &&
           bytes <= kAlike * released && released <= kAlike * bytes &&
           block.age_ns > kLongerThanMost * siblings.long_lifetime_ns;
}

std::optional<Retention> judge_retention(const BlockEvidence& block, const RunEvidence& run,
                                         const RetentionRules& rules)
{
    std::array<std::optional<uint64_t>, kRetentionPatternCount> fits{};
    const auto fit = [&](RetentionPattern one) -> std::optional<uint64_t>& { return fits[static_cast<size_t>(one)]; };
    fit(RetentionPattern::pinned) = pinned_bytes(block, rules);
    fit(RetentionPattern::outgrown) = outgrown_bytes(block, run, rules);
    fit(RetentionPattern::slack) = slack_bytes(block, rules);
    if (is_idle(block, run, rules)) fit(RetentionPattern::idle) = 0; // it may be read, which leaves no mark
    if (!block.pages && has_stopped_growing(block, run, rules)) fit(RetentionPattern::outgrown) = 0;
    const auto first = std::ranges::find_if(fits, [](const auto& one) { return one.has_value(); });
    if (first == fits.end()) return std::nullopt;
    Retention retention{.pattern = static_cast<RetentionPattern>(first - fits.begin()), .wasted_bytes = **first};
    for (auto other = first + 1; other != fits.end(); ++other)
        retention.also[static_cast<size_t>(other - fits.begin())] = other->has_value();
    return retention;
}

} // namespace leak::analyzer
