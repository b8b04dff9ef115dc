#include "analyzer/render/timeline_json.hpp"

#include "analyzer/render/growth_json.hpp"

namespace leak::analyzer {

namespace {

Json curve_json(const std::vector<HistorySample>& samples)
{
    Json list = Json::array();
    for (const HistorySample& sample : samples) {
        list.push_back({{"at_ns", sample.at_ns},
                        {"live_bytes", sample.live_bytes},
                        {"live_blocks", sample.live_blocks},
                        {"allocated_bytes", sample.allocated_bytes},
                        {"events", sample.events}});
    }
    return list;
}

} // namespace

Json timeline_json(const Timeline& timeline)
{
    Json memory = Json::array();
    for (const ProcessSample& sample : timeline.memory) memory.push_back(sample_json(sample));
    Json stacks = Json::array();
    for (const StackCurve& curve : timeline.stacks) {
        stacks.push_back({{"peak_bytes", curve.peak_bytes},
                          {"history", curve_json(curve.samples)},
                          {"stack", frames_json(curve.frames)}});
    }
    return {{"schema", "leakan.timeline.v1"},
            {"trace", trace_json(timeline.info)},
            {"end_ns", timeline.end_ns},
            {"tick_ns", timeline.tick_ns},
            {"heap", curve_json(timeline.heap)},
            {"mapped", curve_json(timeline.mapped)},
            {"memory", std::move(memory)},
            {"stacks", std::move(stacks)},
            {"phases", phases_json(timeline.phases)}};
}

} // namespace leak::analyzer
