#include "analyzer/report/leak_report.hpp"

#include "analyzer/report/frame_kind.hpp"
#include "analyzer/report/process_samples.hpp"

#include <algorithm>
#include <map>
#include <tuple>

namespace leak::analyzer {
namespace {

std::vector<MismatchSite> mismatch_sites(const ReplayResult& trace, Symbolizer& symbolizer)
{
    std::vector<MismatchSite> sites;
    for (const Mismatch& mismatch : trace.mismatches) {
        std::vector<Frame> frames = symbolizer.symbolize(trace.stacks.frames(mismatch.stack));
        const auto same = std::ranges::find_if(sites, [&](const MismatchSite& site) {
            return site.allocated_by == mismatch.allocated_by && site.released_by == mismatch.released_by &&
                   site.frames == frames;
        });
        MismatchSite& site = same != sites.end() ? *same : sites.emplace_back();
        site.allocated_by = mismatch.allocated_by;
        site.released_by = mismatch.released_by;
        site.blocks += mismatch.blocks;
        site.bytes += mismatch.bytes;
        site.frames = std::move(frames);
    }
    std::ranges::stable_sort(sites, std::greater{}, &MismatchSite::blocks);
    return sites;
}

// Own modules always matter; of libraries only that another build was found, as distributions strip theirs.
std::vector<MissingSymbols> missing_symbols(const ReplayResult& trace, Symbolizer& symbolizer,
                                            const std::vector<Site>& sites)
{
    std::map<std::string, ModuleId> used;
    for (const Module& module : trace.modules) {
        used[module.path] = module.id;
    }
    std::map<std::string, MissingSymbols> missing;
    for (const Site& site : sites) {
        for (const Frame& frame : site.frames) {
            const auto module = used.find(frame.module);
            if (module == used.end() || missing.contains(frame.module) || !frame.module.starts_with('/')) {
                continue;
            }
            const ModuleSymbols symbols = symbolizer.symbols_of(module->second);
            if (!symbols.file_found || (!symbols.has_lines && !is_library_frame(frame, trace.info.exe))) {
                missing[frame.module] = {frame.module, symbols};
            }
        }
    }
    std::vector<MissingSymbols> sorted;
    sorted.reserve(missing.size());
    for (auto& [path, entry] : missing) {
        sorted.push_back(std::move(entry));
    }
    return sorted;
}

} // namespace

LeakReport make_leak_report(const ReplayResult& trace, Symbolizer& symbolizer, Suppressions suppressions,
                            const LeakReportOptions& options)
{
    LeakReport report;
    report.info = trace.info;
    report.totals = trace.totals;
    report.by = options.sites.by;
    // Before the suppressions have counted anything.
    if (options.growth)
        report.growth =
            make_growth_report(trace, symbolizer, {.depth = options.sites.depth, .suppressions = &suppressions});
    std::vector<BlockFact> facts;
    std::optional<MemoryFacts> memory;
    if (trace.memory) {
        report.snapshot = {trace.memory->at_ns, trace.memory->events_are_known, trace.memory->image.figures,
                           trace.memory->core};
        memory.emplace(trace, symbolizer);
        facts = facts_of(*memory, trace.unfreed);
    }
    if (options.retention)
        report.retention = make_retention_report(trace, memory ? &*memory : nullptr, symbolizer,
                                                 {.depth = options.sites.depth, .suppressions = &suppressions});
    memory.reset();
    report.unfreed = group_blocks(trace.unfreed, facts, trace, symbolizer, &suppressions, options.sites);
    report.suppressed = suppressions.counts();
    for (const SuppressedCount& count : report.suppressed) {
        report.suppressed_blocks += count.blocks;
        report.suppressed_bytes += count.bytes;
    }
    SiteOptions by_stack = options.sites;
    by_stack.by = GroupBy::stack;
    report.mapped = group_blocks(trace.mapped, {}, trace, symbolizer, nullptr, by_stack);
    report.mapped_ranges = trace.mapped.size();
    report.mismatches = mismatch_sites(trace, symbolizer);
    report.inherited_blocks = trace.inherited_blocks;
    report.inherited_bytes = trace.inherited_bytes;
    report.stacks_by = options.stacks;
    if (options.stacks) report.stacks = stack_sites(trace, symbolizer, *options.stacks, options.sites.depth);
    if (!trace.samples.empty()) report.last_sample = sample_at(trace.samples, trace.samples.back().at_ns);
    report.missing_symbols = missing_symbols(trace, symbolizer, report.unfreed.sites);
    return report;
}

} // namespace leak::analyzer
