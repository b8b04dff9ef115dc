#include "analyzer/report/timeline.hpp"

#include <algorithm>

namespace leak::analyzer {

namespace {

using Table = StackAccounts::Table;

// A tick ends later than the last event in it, but not later than the run.
void cap(std::vector<HistorySample>& samples, int64_t end_ns)
{
    for (HistorySample& sample : samples) sample.at_ns = std::min(sample.at_ns, end_ns);
}

[[nodiscard]] HistorySample sum(const HistorySample& a, const HistorySample& b)
{
    return {a.at_ns, a.live_bytes + b.live_bytes, a.live_blocks + b.live_blocks, a.allocated_bytes + b.allocated_bytes,
            a.events + b.events};
}

// The curve of several stacks together.
[[nodiscard]] std::vector<HistorySample> sum(const std::vector<std::vector<HistorySample>>& curves)
{
    if (curves.size() == 1) return curves.front();
    std::vector<HistorySample> all;
    for (const auto& curve : curves)
        for (const HistorySample& sample : curve) all.push_back({.at_ns = sample.at_ns});
    std::ranges::sort(all, {}, &HistorySample::at_ns);
    const auto same = std::ranges::unique(all, {}, &HistorySample::at_ns);
    all.erase(same.begin(), same.end());
    for (const auto& curve : curves)
        for (HistorySample& sample : all) sample = sum(sample, state_at(curve, sample.at_ns));
    return all;
}

} // namespace

Timeline make_timeline(const ReplayResult& trace, Symbolizer& symbolizer, size_t top)
{
    Timeline timeline;
    timeline.info = trace.info;
    timeline.end_ns = trace.info.duration_ns;
    if (!trace.samples.empty()) timeline.end_ns = std::max(timeline.end_ns, trace.samples.back().at_ns);
    timeline.tick_ns = trace.accounts.tick_ns();
    timeline.heap = trace.accounts.history(Table::kHeap);
    timeline.mapped = trace.accounts.history(Table::kMapped);
    cap(timeline.heap, timeline.end_ns);
    cap(timeline.mapped, timeline.end_ns);
    timeline.memory = trace.samples;
    std::vector<StackSite> sites = stack_sites(trace, symbolizer, RankBy::peak, 0);
    timeline.all_stacks = sites.size();
    sites.resize(std::min(sites.size(), top));
    for (StackSite& site : sites) {
        StackCurve& curve = timeline.stacks.emplace_back();
        curve.frames = std::move(site.frames);
        std::vector<std::vector<HistorySample>> curves;
        for (const uint32_t account : site.accounts) curves.push_back(trace.accounts.history(account));
        curve.samples = sum(curves);
        cap(curve.samples, timeline.end_ns);
        curve.peak_bytes = site.peak_bytes;
    }
    return timeline;
}

HistorySample state_at(std::span<const HistorySample> samples, int64_t at_ns)
{
    const auto behind = std::ranges::upper_bound(samples, at_ns, {}, &HistorySample::at_ns);
    HistorySample state = behind == samples.begin() ? HistorySample{} : *std::prev(behind);
    state.at_ns = at_ns;
    return state;
}

std::vector<int64_t> grid(const Timeline& timeline, size_t columns)
{
    std::vector<int64_t> moments;
    for (size_t i = 1; i <= columns; ++i)
        moments.push_back(static_cast<int64_t>(static_cast<double>(timeline.end_ns) * static_cast<double>(i) /
                                               static_cast<double>(columns)));
    return moments;
}

} // namespace leak::analyzer
