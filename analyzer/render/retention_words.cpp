#include "analyzer/render/retention_words.hpp"

#include "analyzer/render/class_words.hpp"
#include "analyzer/render/words.hpp"
#include "analyzer/report/frame_kind.hpp"

#include <algorithm>
#include <iterator>

namespace leak::analyzer {

namespace {

constexpr std::string_view kArrow = " → ";

[[nodiscard]] std::string offset_words(uint64_t offset)
{
    return "+" + count_words(offset);
}

[[nodiscard]] std::string root_words(const KeptBy& kept)
{
    switch (kept.root) {
    case RootKind::global: {
        const std::string module(base_name(kept.module));
        const std::string name = kept.name.empty() ? module + "+" + hex_words(kept.address) : kept.name;
        return "global `" + name + "`" + (kept.name.empty() || kept.offset == 0 ? "" : offset_words(kept.offset));
    }
    case RootKind::stack:
        return "stack of thread " + std::to_string(kept.tid) + (kept.name.empty() ? "" : " (" + kept.name + ")");
    case RootKind::anonymous:
        return kept.name.empty() ? "memory at " + hex_words(kept.address)
                                 : "memory mapped by " + kept.name + " " + offset_words(kept.offset);
    case RootKind::registers:
        return "a register";
    }
    return "";
}

[[nodiscard]] std::string step_words(const KeptStep& step, const StackStyle& style)
{
    const Frame& frame = step.allocated_by;
    const std::string place = place_text(frame, style);
    return "block of " + bytes_words(step.bytes) + " from " + function_text(frame, style.full) +
           (place.empty() ? "" : " " + place);
}

[[nodiscard]] std::string outgrown_words(const RetentionEvidence& evidence)
{
    if (evidence.blocks_with_contents > 0) return "; what is in it takes " + bytes_words(evidence.contents_bytes);
    if (evidence.blocks_with_pages == 0)
        return "; it grew by steps, and no more for long: how much is in use is not known";
    std::string words = "; grown by steps, " + bytes_words(evidence.slack_bytes) + " of it never touched";
    if (evidence.idle_bytes > 0)
        words += ", " + bytes_words(evidence.idle_bytes) + " not written since " + time_words(evidence.unwritten_ns);
    return words;
}

[[nodiscard]] std::string siblings_words(const SiblingCounts& siblings)
{
    return "; " + count_words(siblings.releases) + " of " + plural(siblings.allocations, "block", "blocks") +
           " of its stack were released";
}

} // namespace

std::string_view name_of(RetentionPattern pattern)
{
    constexpr std::string_view names[] = {"pinned", "outgrown", "slack", "survivor", "idle"};
    return names[static_cast<size_t>(pattern)];
}

std::string_view name_of(RootKind root)
{
    constexpr std::string_view names[] = {"global", "stack", "anonymous", "register"};
    return names[static_cast<size_t>(root)];
}

std::string retention_sentence(const RetentionReport& report)
{
    uint64_t wasted = 0;
    for (const RetentionSite& site : report.sites) wasted += site.wasted_bytes;
    if (report.judged_blocks == 0 && report.sites.empty()) return "has no large blocks left";
    if (report.sites.empty())
        return "no large block of " + count_words(report.judged_blocks) + " was found to be kept in vain";
    const std::string stacks = plural(report.sites.size(), "stack", "stacks");
    if (wasted == 0) return "keeps large blocks that may be larger than need be, from " + stacks;
    return "keeps " + bytes_words(wasted) + " that it hardly needs, in or because of blocks from " + stacks;
}

std::string waste_words(const RetentionSite& site)
{
    const RetentionEvidence& evidence = site.evidence;
    const std::string blocks = bytes_words(site.bytes) + " in " +
                               (site.is_mapped ? plural(site.blocks, "mapped range", "mapped ranges")
                                               : plural(site.blocks, "block", "blocks"));
    switch (site.pattern) {
    case RetentionPattern::pinned:
        return "of " + blocks + "; pointers lead to " + bytes_words(evidence.window_bytes) + " of it" +
               (evidence.owners > 0 ? ", and mere owners to the start" : "");
    case RetentionPattern::outgrown:
        return "of " + blocks + outgrown_words(evidence);
    case RetentionPattern::slack:
        return "of " + blocks +
               (evidence.resident_bytes == 0 ? "; no whole page of it was ever touched"
                                             : "; only " + bytes_words(evidence.resident_bytes) + " were ever touched");
    case RetentionPattern::idle:
        return "of " + blocks + "; " + bytes_words(evidence.idle_bytes) + " not written since " +
               time_words(evidence.unwritten_ns);
    case RetentionPattern::survivor:
        return "because of " + blocks + siblings_words(evidence.siblings);
    }
    return "";
}

std::string_view advice(const RetentionSite& site)
{
    switch (site.pattern) {
    case RetentionPattern::pinned:
        return "copy the part you keep, and let the rest go";
    case RetentionPattern::outgrown:
        return "give the room back when it is empty: shrink_to_fit(), a new container, a reset of the arena; or bound "
               "it";
    case RetentionPattern::slack:
        return "ask for less, or for more when it is needed";
    case RetentionPattern::idle:
        return "release it when the work is done, or bound the cache (whether it is read can't be seen)";
    case RetentionPattern::survivor:
        return "release it with the others, or allocate what stays before, or apart from, what goes";
    }
    return "";
}

std::string kept_by_words(const KeptBy& kept, const StackStyle& style)
{
    std::string words = root_words(kept);
    if (kept.left_out > 0) words += std::string(kArrow) + plural(kept.left_out, "more block", "more blocks");
    for (const KeptStep& step : kept.steps) words += std::string(kArrow) + step_words(step, style);
    return words + std::string(kArrow) + (kept.into == 0 ? "its start" : offset_words(kept.into));
}

std::vector<std::string> retention_limits(const RetentionReport& report)
{
    std::vector<std::string> words;
    if (!report.snapshot_ns) {
        const std::string_view why = words_of(report.info.snapshot_failure);
        words.push_back("There is no snapshot of the program's memory" +
                        (why.empty() ? std::string() : " (" + std::string(why) + ")") +
                        ": what is pinned, slack or idle is not known; only what was released besides, and what "
                        "realloc() grew, is.");
    } else if (report.core) {
        words.push_back("A core does not say what was written since when: nothing is called idle.");
    } else if (!report.has_unwritten) {
        words.push_back("What was written since when is not known, with one snapshot: nothing is called idle. "
                        "LEAK_SNAPSHOT=SECONDS in the traced process makes several.");
    } else if (!report.had_load_stop) {
        words.push_back("The load never stopped, as far as is known: nothing is called idle.");
    }
    if (!report.pages_are_known)
        words.push_back(
            "Of pages that hold nothing but zeros it is not known whether they were ever touched: only a core "
            "that the kernel wrote, with the holes of its file, says so. They are not called slack.");
    if (report.core) std::ranges::move(core_limits(*report.core), std::back_inserter(words));
    if (report.info.sample_bytes != 0) words.push_back("The trace is a sample: blocks that it lacks are not judged.");
    return words;
}

} // namespace leak::analyzer
