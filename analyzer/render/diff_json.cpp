#include "analyzer/render/diff_json.hpp"

namespace leak::analyzer {
namespace {

Json side_json(const LeakReport& report)
{
    Json json = summary_json(report);
    json["trace"] = trace_json(report.info);
    if (report.at_ns) json["at_ns"] = *report.at_ns;
    return json;
}

} // namespace

Json diff_json(const LeakDiff& diff, size_t top)
{
    Json sites = Json::array();
    for (size_t i = 0; i < diff.sites.size() && i < top; ++i) {
        const DiffSite& site = diff.sites[i];
        Json json = {{"status", name_of(site.status)},    {"blocks_before", site.blocks_before},
                     {"blocks_after", site.blocks_after}, {"bytes_before", site.bytes_before},
                     {"bytes_after", site.bytes_after},   {"stack", frames_json(site.frames)}};
        if (!site.label.empty()) {
            json["group"] = site.label;
        }
        sites.push_back(std::move(json));
    }
    return {{"schema", "leakan.diff.v1"},
            {"before", side_json(diff.before)},
            {"after", side_json(diff.after)},
            {"sites", std::move(sites)}};
}

} // namespace leak::analyzer
