#include "analyzer/render/report_json.hpp"

#include "analyzer/render/class_words.hpp"
#include "analyzer/render/growth_json.hpp"
#include "analyzer/render/retention_json.hpp"

namespace leak::analyzer {
namespace {

Json classes_json(const std::array<uint64_t, kBlockClassCount>& counts)
{
    Json json = Json::object();
    for (size_t i = 0; i < kBlockClassCount; ++i) {
        json[name_of(static_cast<BlockClass>(i))] = counts[i];
    }
    return json;
}

// Of the snapshot that the classes are from.
Json snapshot_json(const LeakReport& report)
{
    if (!report.snapshot) {
        return {};
    }
    const auto figure = [&](format::SnapshotFigure which) {
        return report.snapshot->figures[static_cast<size_t>(which)];
    };
    using format::SnapshotFigure;
    return {{"at_ns", report.snapshot->at_ns},
            {"reason", reason_of(*report.snapshot)},
            {"core", core_json(report.snapshot->core)},
            {"pause_ns", figure(SnapshotFigure::pause_ns)},
            {"scan_ns", figure(SnapshotFigure::scan_ns)},
            {"scanned_bytes", figure(SnapshotFigure::scanned_bytes)},
            {"skipped_bytes", figure(SnapshotFigure::skipped_bytes)},
            {"threads", figure(SnapshotFigure::threads)},
            {"threads_without_stack", figure(SnapshotFigure::threads_without_stack)},
            {"threads_without_registers", figure(SnapshotFigure::threads_without_registers)},
            {"events_are_known", report.snapshot->events_are_known}};
}

// is_sampled: the numbers are estimates.
Json site_json(const Site& site, bool is_sampled)
{
    Json kinds = Json::array();
    for (const auto kind : site.kinds) {
        kinds.push_back(name_of(kind));
    }
    Json json = {{"blocks", site.blocks},
                 {"bytes", site.bytes},
                 {"class", classes_json(site.class_blocks)},
                 {"below", {{"blocks", site.below_blocks}, {"bytes", site.below_bytes}}},
                 {"first_ns", site.first_ns},
                 {"last_ns", site.last_ns},
                 {"kinds", std::move(kinds)},
                 {"threads", site.tids},
                 {"stack", frames_json(site.frames)},
                 {"truncated", site.truncated}};
    if (is_sampled) {
        json["samples"] = site.samples;
    }
    if (!site.label.empty()) {
        json["group"] = site.label;
    }
    return json;
}

Json sites_json(const std::vector<Site>& sites, bool is_sampled, size_t top)
{
    Json list = Json::array();
    for (size_t i = 0; i < sites.size() && i < top; ++i) {
        list.push_back(site_json(sites[i], is_sampled));
    }
    return list;
}

Json mismatches_json(const std::vector<MismatchSite>& sites)
{
    Json list = Json::array();
    for (const MismatchSite& site : sites) {
        list.push_back({{"allocated_by", name_of(site.allocated_by)},
                        {"released_by", name_of(site.released_by)},
                        {"blocks", site.blocks},
                        {"bytes", site.bytes},
                        {"stack", frames_json(site.frames)}});
    }
    return list;
}

Json suppressed_json(const std::vector<SuppressedCount>& counts)
{
    Json list = Json::array();
    for (const SuppressedCount& count : counts) {
        list.push_back(
            {{"rule", count.rule}, {"built_in", count.built_in}, {"blocks", count.blocks}, {"bytes", count.bytes}});
    }
    return list;
}

Json missing_symbols_json(const std::vector<MissingSymbols>& missing)
{
    Json list = Json::array();
    for (const MissingSymbols& entry : missing) {
        list.push_back({{"module", entry.module},
                        {"file_found", entry.symbols.file_found},
                        {"build_id_differs", entry.symbols.build_id_differs},
                        {"has_symbols", entry.symbols.has_symbols},
                        {"has_lines", entry.symbols.has_lines}});
    }
    return list;
}

Json stacks_json(const std::vector<StackSite>& sites, size_t top)
{
    Json list = Json::array();
    for (size_t i = 0; i < sites.size() && i < top; ++i) {
        const StackSite& site = sites[i];
        Json lifetimes = Json::array();
        for (const LifetimeCount& count : site.lifetimes) {
            lifetimes.push_back({{"from_ns", count.from_ns}, {"blocks", count.blocks}});
        }
        list.push_back({{"allocations", site.allocations},
                        {"allocated_bytes", site.allocated_bytes},
                        {"releases", site.releases},
                        {"released_bytes", site.released_bytes},
                        {"temporary_allocations", site.temporary_allocations},
                        {"peak_bytes", site.peak_bytes},
                        {"live_blocks", site.live_blocks},
                        {"live_bytes", site.live_bytes},
                        {"lifetimes", std::move(lifetimes)},
                        {"stack", frames_json(site.frames)}});
    }
    return list;
}

} // namespace

Json report_json(const LeakReport& report, size_t top)
{
    Json json = {
        {"schema", "leakan.report.v1"},
        {"trace", trace_json(report.info)},
        {"summary", summary_json(report)},
        {"snapshot", snapshot_json(report)},
        {"classes",
         {{"blocks", classes_json(report.unfreed.class_blocks)}, {"bytes", classes_json(report.unfreed.class_bytes)}}},
        {"memory", report.last_sample ? sample_json(*report.last_sample) : Json()},
        {"unfreed", sites_json(report.unfreed.sites, report.info.sample_bytes != 0, top)},
        {"mapped", sites_json(report.mapped.sites, false, top)},
        {"growth", growth_section_json(report.growth, top)},
        {"retention", report.retention ? retention_section_json(*report.retention, top) : Json::array()},
        {"mismatch_sites", mismatches_json(report.mismatches)},
        {"suppressed", suppressed_json(report.suppressed)},
        {"missing_symbols", missing_symbols_json(report.missing_symbols)}};
    if (report.stacks_by) {
        json["stacks"] = stacks_json(report.stacks, top);
    }
    return json;
}

} // namespace leak::analyzer
