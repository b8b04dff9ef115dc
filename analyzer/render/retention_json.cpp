#include "analyzer/render/retention_json.hpp"

#include "analyzer/render/retention_words.hpp"

namespace leak::analyzer {

namespace {

[[nodiscard]] Json known(uint64_t blocks, uint64_t value)
{
    return blocks == 0 ? Json() : Json(value);
}

Json siblings_json(const SiblingCounts& siblings)
{
    return {{"allocations", siblings.allocations},       {"releases", siblings.releases},
            {"released_bytes", siblings.released_bytes}, {"live_blocks", siblings.live_blocks},
            {"live_bytes", siblings.live_bytes},         {"long_lifetime_ns", siblings.long_lifetime_ns}};
}

Json range_json(const std::optional<OffsetRange>& range)
{
    return range ? Json{{"from", range->from}, {"to", range->to}} : Json();
}

// What is null is not known.
Json evidence_json(const RetentionSite& site, const RetentionReport& report)
{
    const RetentionEvidence& evidence = site.evidence;
    const uint64_t pages = evidence.blocks_with_pages, uses = evidence.blocks_with_uses;
    const bool knows_idle = report.has_unwritten && pages > 0;
    Json also = Json::array();
    for (size_t i = 0; i < kRetentionPatternCount; ++i)
        if (site.also[i]) also.push_back(name_of(static_cast<RetentionPattern>(i)));
    return {{"first_ns", evidence.oldest_ns},
            {"last_ns", evidence.youngest_ns},
            {"resident_bytes", known(pages, evidence.resident_bytes)},
            {"slack_bytes", known(pages, evidence.slack_bytes)},
            {"idle_bytes", knows_idle ? Json(evidence.idle_bytes) : Json()},
            {"unwritten_since_ns", knows_idle && evidence.idle_bytes > 0 ? Json(evidence.unwritten_ns) : Json()},
            {"pointers_to_start", known(uses, evidence.pointers_to_start)},
            {"pointers_of_owners", known(uses, evidence.owners)},
            {"pointers_inside", known(uses, evidence.pointers_inside)},
            {"window_bytes", known(uses, evidence.window_bytes)},
            {"contents_bytes", known(evidence.blocks_with_contents, evidence.contents_bytes)},
            {"reallocated_blocks", evidence.reallocated},
            {"siblings", siblings_json(evidence.siblings)},
            {"also", std::move(also)}};
}

Json blocks_json(const std::vector<RetentionBlock>& blocks)
{
    Json list = Json::array();
    for (const RetentionBlock& block : blocks) {
        const auto& uses = block.evidence.uses;
        list.push_back({{"address", block.address},
                        {"bytes", block.bytes},
                        {"wasted_bytes", block.wasted_bytes},
                        {"allocated_ns", block.allocated_ns},
                        {"window", uses ? range_json(uses->window) : Json()},
                        {"contents", uses ? range_json(uses->contents) : Json()}});
    }
    return list;
}

Json kept_by_json(const std::vector<KeptBy>& paths)
{
    Json list = Json::array();
    for (const KeptBy& kept : paths) {
        Json steps = Json::array();
        for (const KeptStep& step : kept.steps)
            steps.push_back({{"bytes", step.bytes},
                             {"offset", step.offset},
                             {"allocated_by", frames_json({step.allocated_by}).front()}});
        list.push_back({{"root", name_of(kept.root)},
                        {"name", kept.name},
                        {"module", kept.module},
                        {"address", kept.address},
                        {"offset", kept.offset},
                        {"tid", kept.root == RootKind::stack ? Json(kept.tid) : Json()},
                        {"left_out", kept.left_out},
                        {"steps", std::move(steps)},
                        {"into", kept.into}});
    }
    return list;
}

Json site_json(const RetentionSite& site, const RetentionReport& report)
{
    return {{"pattern", name_of(site.pattern)},
            {"blocks", site.blocks},
            {"bytes", site.bytes},
            {"wasted_bytes", site.wasted_bytes},
            {"mapped", site.is_mapped},
            {"evidence", evidence_json(site, report)},
            {"advice", advice(site)},
            {"stack", frames_json(site.frames)},
            {"kept_by", kept_by_json(site.kept_by)},
            {"examples", blocks_json(site.examples)}};
}

} // namespace

Json retention_section_json(const RetentionReport& report, size_t top)
{
    Json list = Json::array();
    for (size_t i = 0; i < report.sites.size() && i < top; ++i) list.push_back(site_json(report.sites[i], report));
    return list;
}

Json retention_json(const RetentionReport& report, size_t top)
{
    const RetentionRules& rules = report.rules;
    return {{"schema", "leakan.retention.v1"},
            {"trace", trace_json(report.info)},
            {"rules",
             {{"large_bytes", rules.large_bytes},
              {"pinned_share", rules.pinned_share},
              {"outgrown_share", rules.outgrown_share},
              {"slack_share", rules.slack_share},
              {"idle_share", rules.idle_share},
              {"survivor_share", rules.survivor_share},
              {"survivor_siblings", rules.survivor_siblings}}},
            {"snapshot_ns", report.snapshot_ns ? Json(*report.snapshot_ns) : Json()},
            {"core", core_json(report.core)},
            {"knows_pages", report.snapshot_ns && report.pages_are_known},
            {"knows_writes", report.has_unwritten},
            {"judged_blocks", report.judged_blocks},
            {"limits", retention_limits(report)},
            {"retention", retention_section_json(report, top)}};
}

} // namespace leak::analyzer
