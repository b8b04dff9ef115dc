#include "analyzer/report/fragmentation.hpp"

#include "analyzer/analysis/heap_pages.hpp"
#include "analyzer/report/site_key.hpp"

#include <algorithm>
#include <map>
#include <string>

namespace leak::analyzer {

namespace {

constexpr uint64_t kLeastFree = 1 << 20;
constexpr double kFragmentedShare = 0.5; // of what the allocator has free: more lies between live blocks

[[nodiscard]] std::vector<PinSite> pin_sites(const HeapPages& pages, const ReplayResult& trace, Symbolizer& symbolizer)
{
    std::map<std::string, PinSite> by_key;
    for (const auto& [stack, pins] : pages.stacks) {
        std::vector<Frame> frames = symbolizer.symbolize(trace.stacks.frames(stack));
        PinSite& site = by_key[site_key(frames)];
        site.live_bytes += pins.live_bytes;
        site.live_blocks += pins.live_blocks;
        site.pinned_free_bytes += pins.pinned_free_bytes;
        site.frames = std::move(frames);
    }
    std::vector<PinSite> sites;
    for (auto& [key, site] : by_key) sites.push_back(std::move(site));
    std::ranges::stable_sort(sites, std::greater{}, &PinSite::pinned_free_bytes);
    return sites;
}

} // namespace

bool may_be_fragmented(const GrowthReport& report)
{
    return report.info.sample_bytes == 0 && report.process.at.back().sample.free_bytes.value_or(0) >= kLeastFree;
}

void add_fragmentation(GrowthReport& report)
{
    if (report.info.sample_bytes != 0) return;
    std::vector<const Layers*> moments;
    for (const Layers& layers : report.process.at)
        if (&layers != &report.process.at.front() && layers.at_ns >= report.info.folded_ns.value_or(0))
            moments.push_back(&layers);
    if (moments.empty()) return;
    ReplayOptions options;
    HeapExtents extents(report.program_end);
    options.analyses.push_back(&extents);
    Fragmentation found;
    for (const Layers* layers : moments) options.moments_ns.push_back(layers->at_ns);
    options.on_moment = [&](size_t i, const std::vector<LiveBlock>& blocks) {
        found.at.push_back({moments[i]->moment, moments[i]->at_ns, extents.pages_of(blocks), {}});
    };
    const ReplayResult trace = replay_trace(report.info.path, options);
    Symbolizer symbolizer(trace.modules);
    for (HeapUse& use : found.at) use.sites = pin_sites(use.pages, trace, symbolizer);
    const ProcessSample& sample = report.process.at.back().sample;
    if (sample.free_bytes) {
        found.arenas = extents.arenas();
        const double between = static_cast<double>(found.at.back().pages.free_between);
        if (report.process.cause == GrowthCause::allocator &&
            between >= kFragmentedShare * static_cast<double>(*sample.free_bytes))
            report.process.cause = GrowthCause::fragmentation;
    }
    report.fragmentation = std::move(found);
}

} // namespace leak::analyzer
