#include "analyzer/report/timeline.hpp"

#include "analyzer/report/growth.hpp"
#include "analyzer/report/process_samples.hpp"

#include <algorithm>

namespace leak::analyzer {

namespace {

using Table = StackAccounts::Table;

} // namespace

Timeline make_timeline(const ReplayResult& trace, Symbolizer& symbolizer, size_t top)
{
    Timeline timeline;
    timeline.info = trace.info;
    timeline.end_ns = end_of_run(trace);
    timeline.tick_ns = trace.accounts.tick_ns();
    const Histories histories(trace.accounts, timeline.end_ns);
    timeline.heap = histories.of({{Table::kHeap}});
    timeline.mapped = histories.of({{Table::kMapped}});
    timeline.memory = trace.samples;
    std::vector<StackSite> sites = stack_sites(trace, symbolizer, RankBy::peak, 0);
    timeline.all_stacks = sites.size();
    sites.resize(std::min(sites.size(), top));
    for (StackSite& site : sites)
        timeline.stacks.push_back({std::move(site.frames), site.peak_bytes, histories.of(site.accounts)});
    timeline.phases = phases_of(run_of(trace, histories), trace.info.marks, {});
    return timeline;
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
