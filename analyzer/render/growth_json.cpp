#include "analyzer/render/growth_json.hpp"

#include "analyzer/render/growth_words.hpp"

namespace leak::analyzer {

namespace {

Json process_json(const ProcessGrowth& process)
{
    Json moments = Json::array();
    for (const Layers& layers : process.at) {
        Json json = {{"moment", layers.moment},
                     {"at_ns", layers.at_ns},
                     {"live_bytes", layers.live_bytes},
                     {"live_blocks", layers.live_blocks},
                     {"mapped_bytes", layers.mapped_bytes},
                     {"allocator_mapped_bytes", layers.allocator_mapped_bytes}};
        json["memory"] = sample_json(layers.sample);
        moments.push_back(std::move(json));
    }
    return {{"cause", name_of(process.cause)},
            {"rss_before_bytes", process.rss_before_bytes},
            {"most_rss_bytes", process.most_rss_bytes},
            {"at", std::move(moments)}};
}

Json cycles_json(const std::vector<GrowthCycle>& cycles)
{
    Json list = Json::array();
    for (const GrowthCycle& cycle : cycles) {
        list.push_back({{"load_from_ns", cycle.load_from_ns},
                        {"load_stop_ns", cycle.load_stop_ns},
                        {"idle_to_ns", cycle.idle_to_ns},
                        {"bytes_before", cycle.bytes_before},
                        {"bytes_at_stop", cycle.bytes_at_stop},
                        {"bytes_at_end", cycle.bytes_at_end},
                        {"verdict", cycle.verdict ? Json(name_of(*cycle.verdict)) : Json()}});
    }
    return list;
}

Json trend_json(const GrowthTrend& trend)
{
    return {{"from_ns", trend.from_ns},
            {"to_ns", trend.to_ns},
            {"bytes", trend.bytes},
            {"p_value", trend.trend.p_value},
            {"slope_bytes_per_s", trend.trend.slope},
            {"slope_low_bytes_per_s", trend.trend.slope_low},
            {"slope_high_bytes_per_s", trend.trend.slope_high}};
}

Json site_json(const GrowthSite& site, const GrowthReport& report)
{
    const SiteGrowth& growth = site.growth;
    const bool goes_on = growth.verdict == GrowthVerdict::growing || growth.verdict == GrowthVerdict::climbing;
    const auto left_ns = goes_on ? time_to_limit(report, growth.slope_bytes_per_s) : std::nullopt;
    return {{"verdict", name_of(growth.verdict)},
            {"bytes_before", growth.bytes_before},
            {"bytes_at_stop", growth.bytes_at_stop},
            {"bytes_at_end", growth.bytes_at_end},
            {"slope_bytes_per_s", growth.slope_bytes_per_s},
            {"slope_bytes_per_load_event", growth.slope_bytes_per_load_event},
            {"to_limit_ns", left_ns ? Json(*left_ns) : Json()},
            {"p_value", growth.trend ? Json(growth.trend->trend.p_value) : Json()},
            {"cycles", cycles_json(growth.cycles)},
            {"trend", growth.trend ? trend_json(*growth.trend) : Json()},
            {"stacks", site.stacks},
            {"stack", frames_json(site.frames)}};
}

Json pin_sites_json(const std::vector<PinSite>& sites, size_t top)
{
    Json list = Json::array();
    for (size_t i = 0; i < sites.size() && i < top; ++i) {
        list.push_back({{"live_bytes", sites[i].live_bytes},
                        {"live_blocks", sites[i].live_blocks},
                        {"pinned_free_bytes", sites[i].pinned_free_bytes},
                        {"stack", frames_json(sites[i].frames)}});
    }
    return list;
}

Json heaps_json(const std::vector<HeapOfPages>& heaps)
{
    Json list = Json::array();
    for (const HeapOfPages& heap : heaps) {
        list.push_back({{"address", heap.address},
                        {"main", heap.is_main},
                        {"bytes", heap.bytes},
                        {"live_bytes", heap.live_bytes},
                        {"pages", heap.pages},
                        {"pinned_free_bytes", heap.pinned_free_bytes}});
    }
    return list;
}

// The sums as they are at the end.
Json fragmentation_json(const Fragmentation& fragmentation, size_t top)
{
    Json moments = Json::array();
    for (const HeapUse& use : fragmentation.at) {
        moments.push_back({{"moment", use.moment},
                           {"at_ns", use.at_ns},
                           {"pages", use.pages.pages},
                           {"sparse_pages", use.pages.sparse_pages},
                           {"free_between_bytes", use.pages.free_between},
                           {"pinned_free_bytes", use.pages.pinned_free_bytes},
                           {"empty_bytes", use.pages.empty_bytes},
                           {"empty_bytes_of_arenas", use.pages.empty_bytes_of_arenas},
                           {"heaps", heaps_json(use.pages.heaps)},
                           {"sites", pin_sites_json(use.sites, top)}});
    }
    const HeapUse& end = fragmentation.at.back();
    return {{"pages", end.pages.pages},
            {"pinned_free_bytes", end.pages.pinned_free_bytes},
            {"arenas", fragmentation.arenas ? Json(*fragmentation.arenas) : Json()},
            {"at", std::move(moments)},
            {"sites", pin_sites_json(end.sites, top)}};
}

} // namespace

Json phases_json(const std::vector<Phase>& phases)
{
    Json list = Json::array();
    for (const Phase& phase : phases) {
        list.push_back({{"kind", name_of(phase.kind)},
                        {"from_ns", phase.from_ns},
                        {"to_ns", phase.to_ns},
                        {"rate_per_s", phase.rate_per_s},
                        {"source", name_of(phase.source)}});
    }
    return list;
}

Json growth_section_json(const GrowthReport& report, size_t top)
{
    Json sites = Json::array();
    for (size_t i = 0; i < report.sites.size() && i < top; ++i) sites.push_back(site_json(report.sites[i], report));
    return {{"verdict", growth_sentence(report)},
            {"process", process_json(report.process)},
            {"phases", phases_json(report.phases)},
            {"rules",
             {{"held_share", report.rules.held_share},
              {"material_bytes", report.rules.material_bytes},
              {"material_share", report.rules.material_share},
              {"most_p_value", report.rules.most_p_value}}},
            {"sites", std::move(sites)},
            {"fragmentation", report.fragmentation ? fragmentation_json(*report.fragmentation, top) : Json()}};
}

Json growth_json(const GrowthReport& report, size_t top)
{
    return {{"schema", "leakan.growth.v1"},
            {"trace", trace_json(report.info)},
            {"growth", growth_section_json(report, top)}};
}

} // namespace leak::analyzer
