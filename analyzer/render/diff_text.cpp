#include "analyzer/render/diff_text.hpp"

#include "analyzer/render/run_words.hpp"
#include "analyzer/render/words.hpp"

#include <algorithm>
#include <array>

namespace leak::analyzer {
namespace {

constexpr size_t kStatusCount = 5;
constexpr size_t kStatusColumn = 8;

std::array<size_t, kStatusCount> count_by_status(const LeakDiff& diff)
{
    std::array<size_t, kStatusCount> counts{};
    for (const DiffSite& site : diff.sites) {
        ++counts[static_cast<size_t>(site.status)];
    }
    return counts;
}

// What the blocks are called: those of a moment are not unfreed yet.
std::string_view word_of(const LeakReport& report)
{
    return report.at_ns ? "live" : "unfreed";
}

std::string verdict(const LeakDiff& diff, const Paint& paint)
{
    const std::string word(word_of(diff.after));
    const auto counts = count_by_status(diff);
    const auto of = [&](SiteStatus status) { return counts[static_cast<size_t>(status)]; };
    const auto change =
        static_cast<int64_t>(diff.after.unfreed.bytes) - static_cast<int64_t>(diff.before.unfreed.bytes);
    if (of(SiteStatus::same) == diff.sites.size()) {
        return paint.good("Nothing changed") + ": " + bytes_words(diff.after.unfreed.bytes) + " " + word +
               " in both, from the same " + plural(of(SiteStatus::same), "place", "places") + ".";
    }
    std::string text = bytes_words(diff.after.unfreed.bytes) + " " + word + ", ";
    text += change == 0 ? std::string("as much as before")
                        : (change > 0 ? paint.bad(bytes_words(static_cast<uint64_t>(change)) + " more")
                                      : paint.good(bytes_words(static_cast<uint64_t>(-change)) + " less")) +
                              " than before";
    std::string places;
    for (const SiteStatus status : {SiteStatus::added, SiteStatus::grown, SiteStatus::shrunk, SiteStatus::gone}) {
        if (of(status) > 0) {
            places += (places.empty() ? "" : ", ") + std::to_string(of(status)) + " " + std::string(name_of(status));
        }
    }
    return text + ": " + places + ".";
}

void write_side(std::ostream& out, std::string_view label, const LeakReport& report)
{
    out << "  " << label << run_words(report.info) << (report.at_ns ? " at " + time_words(*report.at_ns) : "") << ": "
        << bytes_words(report.unfreed.bytes) << " " << word_of(report) << " in "
        << plural(report.unfreed.blocks, "block", "blocks");
    if (!report.at_ns) out << " of " << plural(report.totals.allocations, "allocation", "allocations");
    out << '\n';
}

std::string painted_status(const DiffSite& site, const Paint& paint)
{
    std::string name(name_of(site.status));
    name.resize(kStatusColumn, ' ');
    switch (site.status) {
    case SiteStatus::added:
    case SiteStatus::grown:
        return paint.bad(name);
    case SiteStatus::gone:
    case SiteStatus::shrunk:
        return paint.good(name);
    case SiteStatus::same:
        break;
    }
    return name;
}

void write_site(std::ostream& out, const DiffSite& site, const LeakDiff& diff, const TextStyle& style)
{
    out << "  " << painted_status(site, style.paint) << style.paint.bold(signed_bytes_words(site.bytes_change()))
        << "  " << signed_plural(site.blocks_change(), "block", "blocks");
    if (site.status != SiteStatus::added && site.status != SiteStatus::gone) {
        out << "  (" << bytes_words(site.bytes_before) << " in " << plural(site.blocks_before, "block", "blocks")
            << " -> " << bytes_words(site.bytes_after) << " in " << count_words(site.blocks_after) << ")";
    }
    out << (site.frames.empty() ? "  " + site.label : "") << '\n';
    const bool later = site.status != SiteStatus::gone;
    StackStyle stack = stack_style(style, later ? diff.after.info : diff.before.info);
    stack.indent = std::string(kStatusColumn + 2, ' ');
    if (!site.frames.empty() || site.label.empty()) {
        write_stack(out, site.frames, stack);
    }
}

void write_missing(std::ostream& out, const LeakDiff& diff, const TextStyle& style)
{
    for (const auto& [name, info] :
         {std::pair("before: ", &diff.before.info), std::pair("after: ", &diff.after.info)}) {
        for (const std::string& sentence : missing_words(*info)) {
            out << style.paint.warn("  " + std::string(name) + sentence) << '\n';
        }
    }
    const uint64_t hidden = diff.before.suppressed_blocks + diff.after.suppressed_blocks;
    if (hidden > 0) {
        out << style.paint.dim("  Hidden by suppressions: " + bytes_words(diff.before.suppressed_bytes) + " before, " +
                               bytes_words(diff.after.suppressed_bytes) + " after.")
            << '\n';
    }
}

} // namespace

void write_diff_text(std::ostream& out, const LeakDiff& diff, const TextStyle& style)
{
    out << verdict(diff, style.paint) << "\n\n";
    write_side(out, "before  ", diff.before);
    write_side(out, "after   ", diff.after);
    out << '\n';
    size_t shown = 0;
    size_t left = 0;
    size_t same = 0;
    for (const DiffSite& site : diff.sites) {
        if (site.status == SiteStatus::same && !style.all) {
            ++same;
        } else if (shown < style.top) {
            write_site(out, site, diff, style);
            ++shown;
        } else {
            ++left;
        }
    }
    if (left > 0) {
        out << style.paint.dim("  " + plural(left, "more change is", "more changes are") + " not shown; --top N.")
            << '\n';
    }
    if (same > 0) {
        out << style.paint.dim("  " + plural(same, "place is", "places are") + " as before; --all shows them.") << '\n';
    }
    write_missing(out, diff, style);
}

} // namespace leak::analyzer
