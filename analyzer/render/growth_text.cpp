#include "analyzer/render/growth_text.hpp"

#include "analyzer/render/growth_words.hpp"
#include "analyzer/render/heading.hpp"
#include "analyzer/render/run_words.hpp"
#include "analyzer/render/words.hpp"

#include <algorithm>
#include <string>

namespace leak::analyzer {

namespace {

constexpr size_t kLabel = 14;
constexpr size_t kColumn = 16;
constexpr size_t kPinsShown = 3;
constexpr size_t kSitesInReport = 3;
constexpr int64_t kLongRunNs = 10'000'000'000;

[[nodiscard]] std::string padded(std::string_view text, size_t width)
{
    return std::string(text) + std::string(text.size() < width ? width - text.size() : 1, ' ');
}

[[nodiscard]] std::string rate_words(double per_s)
{
    return count_words(static_cast<uint64_t>(per_s + 0.5)) + "/s";
}

[[nodiscard]] std::string per_second_words(double bytes)
{
    return signed_bytes_words(static_cast<int64_t>(bytes)) + "/s";
}

void write_phases(std::ostream& out, const GrowthReport& report)
{
    constexpr size_t kMostShown = 12;
    std::string label = "phases";
    for (size_t i = 0; i < report.phases.size() && i < kMostShown; ++i) {
        const Phase& phase = report.phases[i];
        out << "  " << padded(label, kLabel) << padded(name_of(phase.kind), 9) << time_words(phase.from_ns) << " to "
            << time_words(phase.to_ns) << ", " << rate_words(phase.rate_per_s) << " allocations\n";
        label.clear();
    }
    if (report.phases.size() > kMostShown)
        out << "  " << padded("", kLabel) << "and " << report.phases.size() - kMostShown << " more\n";
    constexpr std::string_view sources[] = {"found by the rate of allocations", "as leak_mark() says",
                                            "as the options say"};
    out << "  " << padded("", kLabel) << sources[static_cast<size_t>(report.phases.front().source)] << '\n';
}

void write_layers(std::ostream& out, const GrowthReport& report, const TextStyle& style)
{
    const auto row = [&](std::string_view label, auto value) {
        out << "  " << padded(label, kLabel + 9);
        for (const Layers& layers : report.process.at) {
            const bool is_last = &layers == &report.process.at.back();
            out << (is_last ? value(layers) : padded(value(layers), kColumn));
        }
        out << '\n';
    };
    const auto figure = [](std::optional<uint64_t> ProcessSample::* one) {
        return [one](const Layers& layers) {
            return layers.sample.*one ? bytes_words(*(layers.sample.*one)) : std::string("-");
        };
    };
    const auto has = [&](std::optional<uint64_t> ProcessSample::* one) {
        return std::ranges::any_of(report.process.at,
                                   [one](const Layers& layers) { return (layers.sample.*one).value_or(0) > 0; });
    };
    out << '\n';
    row("", [&](const Layers& layers) { return std::string(layers.moment); });
    row("", [](const Layers& layers) { return time_words(layers.at_ns); });
    row("program, heap", [](const Layers& layers) { return bytes_words(layers.live_bytes); });
    if (std::ranges::any_of(report.process.at, [](const Layers& layers) { return layers.mapped_bytes > 0; }))
        row("program, mapped", [](const Layers& layers) { return bytes_words(layers.mapped_bytes); });
    if (std::ranges::any_of(report.process.at, [](const Layers& layers) { return layers.allocator_mapped_bytes > 0; }))
        row("allocator, mapped", [](const Layers& layers) { return bytes_words(layers.allocator_mapped_bytes); });
    if (has(&ProcessSample::arena_bytes)) {
        row("allocator, arenas", figure(&ProcessSample::arena_bytes));
        row("allocator, free", figure(&ProcessSample::free_bytes));
    }
    if (has(&ProcessSample::rss_bytes)) row("kernel, RSS", figure(&ProcessSample::rss_bytes));
    if (has(&ProcessSample::swap_bytes)) row("kernel, swap", figure(&ProcessSample::swap_bytes));
    if (const std::string cause = cause_sentence(report); !cause.empty())
        out << "  " << style.paint.bold(cause) << '\n';
}

// "; 9 h to the limit of memory at this rate"; empty where no limit is known, or it is far.
[[nodiscard]] std::string limit_words(const SiteGrowth& growth, const GrowthReport& report)
{
    const std::optional<int64_t> left_ns = time_to_limit(report, growth.slope_bytes_per_s);
    return left_ns ? "; " + time_words(*left_ns) + " to the limit of memory at this rate" : "";
}

[[nodiscard]] std::string how_words(const SiteGrowth& growth, const GrowthReport& report)
{
    const uint64_t added = growth.bytes_at_stop - std::min(growth.bytes_before, growth.bytes_at_stop);
    const uint64_t left = growth.bytes_at_end - std::min(growth.bytes_before, growth.bytes_at_end);
    const std::string share = percent_words(added == 0 ? 0 : static_cast<double>(left) / static_cast<double>(added));
    const double per_thousand = std::max(0.0, growth.slope_bytes_per_load_event) * 1000;
    const std::string per_event =
        ", " + bytes_words(static_cast<uint64_t>(per_thousand + 0.5)) + " per 1,000 allocations under load";
    switch (growth.verdict) {
    case GrowthVerdict::growing:
        return per_second_words(growth.slope_bytes_per_s) + " while idle, " + bytes_words(growth.bytes_at_stop) +
               " when the load stopped" + limit_words(growth, report);
    case GrowthVerdict::climbing:
        return per_second_words(growth.slope_bytes_per_s) + " under load" + per_event + limit_words(growth, report);
    case GrowthVerdict::ratchet:
        return "left behind by " + plural(growth.cycles.size(), "load", "loads") + ", from " +
               bytes_words(growth.cycles.front().bytes_at_end) + " after the first" + per_event;
    case GrowthVerdict::held:
        return share + " of what the load added" + per_event;
    case GrowthVerdict::plateau:
        return "rose no further while its callers worked on: a cache, perhaps";
    case GrowthVerdict::drained:
        return "of " + bytes_words(growth.bytes_at_stop) + " when the load stopped";
    }
    return "";
}

// Those up to the verdict `last`, at most `most` of them. Returns whether there are any.
bool write_sites(std::ostream& out, const GrowthReport& report, const TextStyle& style, GrowthVerdict last, size_t most)
{
    const auto worth = static_cast<size_t>(
        std::ranges::count_if(report.sites, [&](const GrowthSite& site) { return site.growth.verdict <= last; }));
    if (worth == 0) return false;
    const size_t shown = std::min(worth, most);
    const std::vector<GrowthCycle> cycles = cycles_of(report.phases);
    const std::string title = endless_load(report.phases) != nullptr || cycles.empty()
                                  ? "GROWTH under load"
                                  : "GROWTH after load stop at " + time_words(cycles.back().load_stop_ns);
    out << heading(style.paint, title, shown, worth, "stack");
    StackStyle brief = stack_style(style, report.info);
    brief.indent = std::string(12, ' ');
    brief.max_lines = 5;
    for (size_t i = 0; i < shown; ++i) {
        const GrowthSite& site = report.sites[i];
        const std::string verdict = padded(name_of(site.growth.verdict), 10);
        out << "  "
            << (site.growth.verdict == GrowthVerdict::growing ? style.paint.bad(verdict) : style.paint.bold(verdict))
            << padded(bytes_words(site.growth.bytes_at_end), 12) << how_words(site.growth, report)
            << (site.stacks > 1 ? ", by " + plural(site.stacks, "stack", "stacks") : "") << '\n';
        write_stack(out, site.frames, brief);
    }
    return true;
}

void write_fragmentation(std::ostream& out, const GrowthReport& report, const TextStyle& style)
{
    if (!report.fragmentation) return;
    const Fragmentation& found = *report.fragmentation;
    const HeapUse& use = found.at.back();
    const HeapPages& end = use.pages;
    out << '\n' << style.paint.bold("FREE SPACE between live blocks") << "  at the end\n";
    out << "  " << count_words(end.sparse_pages) << " of " << plural(end.pages, "page", "pages")
        << " with live blocks are less than half live: " << bytes_words(end.pinned_free_bytes)
        << " free on them can't be given back.\n";
    const uint64_t free = report.process.at.back().sample.free_bytes.value_or(0);
    const uint64_t trimmable = free - std::min(free, end.free_between);
    out << "  malloc_trim() could give back " << bytes_words(trimmable) << " at most";
    if (found.arenas.value_or(1) > 1)
        out << "; " << count_words(*found.arenas) << " arenas served allocations, and those beside the main one keep "
            << bytes_words(std::min(end.empty_bytes_of_arenas, free)) << " of empty pages at most (MALLOC_ARENA_MAX)";
    out << ".\n";
    StackStyle brief = stack_style(style, report.info);
    brief.indent = std::string(12, ' ');
    brief.max_lines = 5;
    const size_t shown = std::min({use.sites.size(), style.top, kPinsShown});
    for (size_t i = 0; i < shown; ++i) {
        const PinSite& site = use.sites[i];
        if (site.pinned_free_bytes * 100 < end.pinned_free_bytes) break; // less than a hundredth
        out << "  " << padded("pins", 10) << padded(bytes_words(site.pinned_free_bytes), 12) << "by "
            << plural(site.live_blocks, "block", "blocks") << " of " << bytes_words(site.live_bytes) << '\n';
        write_stack(out, site.frames, brief);
    }
}

} // namespace

void write_growth_text(std::ostream& out, const GrowthReport& report, const TextStyle& style)
{
    out << run_words(report.info) << ": " << growth_sentence(report) << ".\n\n";
    write_phases(out, report);
    write_layers(out, report, style);
    write_sites(out, report, style, GrowthVerdict::drained, style.top);
    write_fragmentation(out, report, style);
    const std::vector<std::string> missing = missing_words(report.info);
    if (!missing.empty()) out << '\n' << style.paint.bold("MISSING") << '\n';
    for (const std::string& sentence : missing) out << "     " << style.paint.warn(sentence) << '\n';
}

void write_growth_section(std::ostream& out, const GrowthReport& report, const TextStyle& style)
{
    if (report.process.at.empty()) return; // not looked for
    const bool is_stopped = endless_load(report.phases) == nullptr;
    const bool is_long = report.process.at.back().at_ns >= kLongRunNs;
    if (!is_stopped && !is_long) return; // programs that work and end
    if (!write_sites(out, report, style, GrowthVerdict::held, std::min(style.top, kSitesInReport))) return;
    const std::string cause = cause_sentence(report);
    out << "  " << style.paint.dim((cause.empty() ? "" : cause + " ") + "More: leakan growth.") << '\n';
}

} // namespace leak::analyzer
