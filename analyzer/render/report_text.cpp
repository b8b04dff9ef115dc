#include "analyzer/render/report_text.hpp"

#include "analyzer/render/class_words.hpp"
#include "analyzer/render/growth_text.hpp"
#include "analyzer/render/growth_words.hpp"
#include "analyzer/render/heading.hpp"
#include "analyzer/render/retention_text.hpp"
#include "analyzer/render/run_words.hpp"
#include "analyzer/render/words.hpp"
#include "analyzer/report/frame_kind.hpp"

#include <algorithm>
#include <functional>

namespace leak::analyzer {
namespace {

constexpr size_t kMappedShown = 3;
constexpr size_t kMappedLines = 3;
constexpr size_t kMismatchesShown = 5;
constexpr int kMaxLabel = 14;

void write_fact(std::ostream& out, std::string_view label, const std::string& fact)
{
    out << "  " << label << std::string(kMaxLabel - std::min<size_t>(label.size(), kMaxLabel - 1), ' ') << fact << '\n';
}

std::string_view noun_of(GroupBy by)
{
    constexpr std::string_view nouns[] = {"stack", "function", "module", "thread", "size"};
    return nouns[static_cast<size_t>(by)];
}

std::string verdict(const LeakReport& report, const Paint& paint)
{
    const std::string run = run_words(report.info);
    const Grouping& unfreed = report.unfreed;
    const std::string noun(noun_of(report.by));
    const std::string places = plural(unfreed.sites.size() + unfreed.small_sites, noun, noun + "s");
    if (unfreed.blocks == 0) {
        const bool user_hid = std::ranges::any_of(report.suppressed, std::logical_not{}, &SuppressedCount::built_in);
        return run + ": " + paint.good("nothing stays behind") +
               (report.info.gap_events > 0 ? " of what was recorded" : "") +
               (user_hid ? " but what the suppressions hide" : "") + ".";
    }
    const std::string amount = (report.info.sample_bytes != 0 ? "about " : "") + paint.bad(bytes_words(unfreed.bytes)) +
                               " in " + plural(unfreed.blocks, "block", "blocks");
    const std::string growing = growing_words(report.growth);
    if (ended_normally(report.info)) {
        return run + " leaks: " + amount + " unfreed" + verdict_words(unfreed) + ", from " + places + growing + ".";
    }
    // What is live when a process is cut off may well be in use: no verdict beyond that.
    return run + " holds " + amount + verdict_words(unfreed) + ", from " + places + growing +
           (report.info.still_running ? "; what is in use is among it." : "; what was in use then is among it.");
}

// What the allocator and the kernel hold for the program, as last asked.
void write_layers(std::ostream& out, const LeakReport& report)
{
    if (!report.last_sample) {
        return;
    }
    const ProcessSample& sample = *report.last_sample;
    if (sample.arena_bytes) {
        write_fact(out, "allocator",
                   "holds " + bytes_words(*sample.arena_bytes + *sample.mmapped_bytes) + " (glibc), " +
                       bytes_words(*sample.free_bytes) + " of it free, " + bytes_words(*sample.top_bytes) +
                       " at the top");
    }
    if (sample.rss_bytes) {
        write_fact(out, "kernel",
                   "charges " + bytes_words(*sample.rss_bytes) + " RSS" +
                       (sample.swap_bytes.value_or(0) > 0 ? ", " + bytes_words(*sample.swap_bytes) + " in swap" : "") +
                       " at " + time_words(sample.at_ns));
    }
}

void write_summary(std::ostream& out, const LeakReport& report)
{
    const Totals& totals = report.totals;
    std::string holds = bytes_words(report.unfreed.bytes + report.suppressed_bytes) + " live in " +
                        plural(report.unfreed.blocks + report.suppressed_blocks, "block", "blocks");
    holds += ", at most " + bytes_words(totals.peak_bytes) + " at " + time_words(totals.peak_ns);
    write_fact(out, "program holds", holds);
    if (totals.peak_mapped_bytes > 0) {
        write_fact(out, "mapped",
                   bytes_words(totals.mapped_bytes) + " in " + plural(report.mapped_ranges, "range", "ranges") +
                       " by mmap, at most " + bytes_words(totals.peak_mapped_bytes));
    }
    write_layers(out, report);
    write_fact(out, "recorded",
               plural(totals.allocations, "allocation", "allocations") + " of " + bytes_words(totals.allocated_bytes) +
                   " in all, " + plural(totals.releases, "release", "releases") + ", " +
                   plural(totals.threads, "thread", "threads") + ", " + plural(totals.stacks, "stack", "stacks"));
    if (totals.temporary_allocations > 0) {
        const double share =
            static_cast<double>(totals.temporary_allocations) / static_cast<double>(totals.allocations);
        write_fact(out, "temporary", percent_words(share) + " of the allocations, freed before their thread's next");
    }
    if (report.inherited_blocks > 0) {
        write_fact(out, "inherited",
                   bytes_words(report.inherited_bytes) + " in " + plural(report.inherited_blocks, "block", "blocks") +
                       " from the parent are still there (not counted as unfreed)");
    }
    if (totals.unmatched_releases > 0) {
        write_fact(out, "unmatched",
                   plural(totals.unmatched_releases, "release", "releases") +
                       " of blocks whose allocation was not recorded");
    }
    if (report.info.sample_bytes != 0) {
        write_fact(out, "sampled",
                   "one block in every " + bytes_words(report.info.sample_bytes) +
                       " on average (LEAK_SAMPLE): all numbers of blocks and bytes are estimates");
    }
    if (report.snapshot && report.snapshot->core)
        write_fact(out, "classes", "from the core " + core_words(*report.snapshot));
    if (report.info.folded_ns) write_fact(out, "ring", ring_words(report.info));
    write_fact(out, "gaps", report.info.gap_events == 0 ? "none" : plural(report.info.gap_events, "event", "events"));
}

std::string kinds_words(const std::vector<format::EventKind>& kinds)
{
    std::string text;
    for (const auto kind : kinds) {
        text += (text.empty() ? "" : ", ") + std::string(name_of(kind));
    }
    return text;
}

std::string when_words(const Site& site)
{
    return site.blocks == 1 || site.first_ns == site.last_ns
               ? "at " + time_words(site.first_ns)
               : "first at " + time_words(site.first_ns) + ", last at " + time_words(site.last_ns);
}

void write_site(std::ostream& out, const Site& site, size_t number, const LeakReport& report, const TextStyle& style)
{
    const std::string index = std::to_string(number);
    out << std::string(index.size() < 3 ? 3 - index.size() : 0, ' ') << index << "  "
        << style.paint.bold(bytes_words(site.bytes)) << " in " << plural(site.blocks, "block", "blocks");
    if (!site.label.empty() && site.frames.empty()) {
        out << "  " << style.paint.bold(site.label);
    }
    if (report.info.sample_bytes != 0) {
        out << " (estimate from " << plural(site.samples, "sample", "samples") << ")";
    }
    if (const std::string classes = class_words(site); !classes.empty()) {
        out << "  " << style.paint.bold(classes);
    }
    out << "  " << kinds_words(site.kinds) << "  " << when_words(site);
    if (report.totals.threads > 1) {
        if (!site.tids.empty()) out << "  " << (site.tids.size() == 1 ? "thread " : "threads ") << id_ranges(site.tids);
    }
    out << (site.truncated ? "  stack cut at its outer end\n" : "\n");
    if (!site.frames.empty() || site.label.empty()) {
        write_stack(out, site.frames, stack_style(style, report.info));
    }
}

void write_unfreed(std::ostream& out, const LeakReport& report, const TextStyle& style)
{
    const Grouping& unfreed = report.unfreed;
    if (unfreed.blocks == 0) {
        return;
    }
    const size_t shown = std::min(unfreed.sites.size(), style.top);
    out << heading(style.paint, ended_normally(report.info) ? "UNFREED" : "LIVE at the end of the trace", shown,
                   unfreed.sites.size() + unfreed.small_sites, noun_of(report.by));
    uint64_t rest = unfreed.small_bytes;
    for (size_t i = 0; i < unfreed.sites.size(); ++i) {
        if (i < shown) {
            write_site(out, unfreed.sites[i], i + 1, report, style);
        } else {
            rest += unfreed.sites[i].bytes;
        }
    }
    if (rest > 0) {
        out << style.paint.dim("     The others hold " + bytes_words(rest) + "; --top N shows more.") << '\n';
    }
}

std::string lifetime_words(const StackSite& site)
{
    if (site.lifetimes.empty()) {
        return "none released";
    }
    return "half live less than " + time_words(lifetime_quantile(site.lifetimes, 0.5)) + ", nine tenths less than " +
           time_words(lifetime_quantile(site.lifetimes, 0.9));
}

std::string_view rank_words(RankBy rank)
{
    constexpr std::string_view words[] = {"bytes allocated since the start", "allocations since the start",
                                          "temporary allocations since the start", "bytes live at once",
                                          "bytes live at the end"};
    return words[static_cast<size_t>(rank)];
}

void write_stacks(std::ostream& out, const LeakReport& report, const TextStyle& style)
{
    if (!report.stacks_by) {
        return;
    }
    const size_t shown = std::min(report.stacks.size(), style.top);
    out << heading(style.paint, "STACKS by " + std::string(rank_words(*report.stacks_by)), shown, report.stacks.size(),
                   "stack");
    for (size_t i = 0; i < shown; ++i) {
        const StackSite& site = report.stacks[i];
        const std::string index = std::to_string(i + 1);
        out << std::string(index.size() < 3 ? 3 - index.size() : 0, ' ') << index << "  "
            << style.paint.bold(plural(site.allocations, "allocation", "allocations") + " of " +
                                bytes_words(site.allocated_bytes));
        if (site.temporary_allocations > 0) {
            out << "  "
                << percent_words(static_cast<double>(site.temporary_allocations) /
                                 static_cast<double>(site.allocations))
                << " temporary";
        }
        out << "  live " << bytes_words(site.live_bytes) << ", at most " << bytes_words(site.peak_bytes) << "  "
            << lifetime_words(site) << '\n';
        write_stack(out, site.frames, stack_style(style, report.info));
    }
}

void write_mismatches(std::ostream& out, const LeakReport& report, const TextStyle& style)
{
    if (report.mismatches.empty()) {
        return;
    }
    const size_t shown = std::min(report.mismatches.size(), kMismatchesShown);
    out << heading(style.paint, "MISMATCHES: released by a function of another family", shown, report.mismatches.size(),
                   "site");
    for (size_t i = 0; i < shown; ++i) {
        const MismatchSite& site = report.mismatches[i];
        out << "     "
            << style.paint.bold(std::string(name_of(site.allocated_by)) + " released by " +
                                std::string(name_of(site.released_by)))
            << "  " << plural(site.blocks, "block", "blocks") << ", " << bytes_words(site.bytes) << ", allocated in\n";
        write_stack(out, site.frames, stack_style(style, report.info));
    }
}

void write_mapped(std::ostream& out, const LeakReport& report, const TextStyle& style)
{
    const auto& sites = report.mapped.sites;
    if (sites.empty()) {
        return;
    }
    const size_t shown = std::min({sites.size(), kMappedShown, style.top});
    out << heading(style.paint, "MAPPED by mmap and not unmapped", shown, sites.size(), "stack");
    StackStyle brief = stack_style(style, report.info);
    brief.max_lines = kMappedLines;
    for (size_t i = 0; i < shown; ++i) {
        out << "     " << style.paint.bold(bytes_words(sites[i].bytes)) << " in "
            << plural(sites[i].blocks, "range", "ranges") << "  " << when_words(sites[i]) << '\n';
        write_stack(out, sites[i].frames, brief);
    }
}

std::string symbols_words(const MissingSymbols& missing)
{
    const std::string name(base_name(missing.module));
    if (missing.symbols.build_id_differs && !missing.symbols.file_found) {
        return missing.module + " is another build than the traced one: its frames have no names; keep the traced "
                                "file, or install its debug file.";
    }
    if (!missing.symbols.file_found) {
        return missing.module + " was not found: its frames have no names.";
    }
    if (!missing.symbols.has_symbols) {
        return name + " has no symbols: its frames are offsets; compile with -g or install its debug symbols.";
    }
    return name + " has no line information; compile with -g or install its debug symbols.";
}

void write_missing(std::ostream& out, const LeakReport& report, const TextStyle& style)
{
    std::vector<std::string> words = missing_words(report.info);
    if (report.unfreed.truncated_blocks > 0) {
        words.push_back(
            plural(report.unfreed.truncated_blocks, "block has a stack that was", "blocks have stacks that were") +
            " cut at the outer end (limit: " + std::to_string(report.info.depth_limit) +
            " frames, LEAK_DEPTH), or that could not be unwound to the end.");
    }
    std::ranges::move(snapshot_limits(report), std::back_inserter(words));
    std::ranges::transform(report.missing_symbols, std::back_inserter(words), symbols_words);
    if (!words.empty()) {
        out << '\n' << style.paint.bold("MISSING") << '\n';
    }
    for (const std::string& sentence : words) {
        out << "     " << style.paint.warn(sentence) << '\n';
    }
}

void write_hidden(std::ostream& out, const LeakReport& report, const TextStyle& style)
{
    if (report.suppressed_blocks == 0) {
        return;
    }
    std::string by;
    for (const SuppressedCount& count : report.suppressed) {
        by += (by.empty() ? "" : "; ") + count.rule + " " + bytes_words(count.bytes);
    }
    out << '\n'
        << style.paint.dim("Hidden: " + plural(report.suppressed_blocks, "block", "blocks") + ", " +
                           bytes_words(report.suppressed_bytes) + " (" + by + ").")
        << '\n';
}

} // namespace

void write_report_text(std::ostream& out, const LeakReport& report, const TextStyle& style)
{
    out << verdict(report, style.paint) << "\n\n";
    write_summary(out, report);
    write_growth_section(out, report.growth, style);
    write_unfreed(out, report, style);
    if (report.retention) write_retention_section(out, *report.retention, style);
    write_mismatches(out, report, style);
    write_mapped(out, report, style);
    write_stacks(out, report, style);
    write_missing(out, report, style);
    write_hidden(out, report, style);
}

} // namespace leak::analyzer
