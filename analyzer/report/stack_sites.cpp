#include "analyzer/report/stack_sites.hpp"

#include "analyzer/report/site_key.hpp"

#include <algorithm>
#include <map>
#include <string>

namespace leak::analyzer {

namespace {

using Table = StackAccounts::Table;

void add(StackSite& site, const StackAccounts& accounts, uint32_t account)
{
    const format::StackTotals totals = accounts.totals(account);
    site.allocations += totals.allocations;
    site.allocated_bytes += totals.allocated_bytes;
    site.releases += totals.releases;
    site.released_bytes += totals.released_bytes;
    site.temporary_allocations += totals.temporary_allocations;
    site.peak_bytes += totals.peak_bytes;
    site.live_blocks += totals.live_blocks;
    site.live_bytes += totals.live_bytes;
    site.accounts.push_back(account);
    for (const LifetimeCount& count : accounts.lifetimes(account)) {
        const auto at = std::ranges::lower_bound(site.lifetimes, count.from_ns, {}, &LifetimeCount::from_ns);
        if (at != site.lifetimes.end() && at->from_ns == count.from_ns)
            at->blocks += count.blocks;
        else
            site.lifetimes.insert(at, count);
    }
}

[[nodiscard]] uint64_t rank_of(const StackSite& site, RankBy rank)
{
    switch (rank) {
    case RankBy::allocated:
        return site.allocated_bytes;
    case RankBy::allocations:
        return site.allocations;
    case RankBy::temporary:
        return site.temporary_allocations;
    case RankBy::peak:
        return site.peak_bytes;
    case RankBy::live:
        return site.live_bytes;
    }
    return 0;
}

} // namespace

std::vector<StackSite> stack_sites(const ReplayResult& trace, Symbolizer& symbolizer, RankBy rank, size_t depth)
{
    std::map<std::string, StackSite> by_key; // ordered, so that ties come out the same every time
    for (size_t i = 0; i < trace.accounts.stacks(); ++i) {
        std::vector<Frame> frames = symbolizer.symbolize(trace.stacks.frames(trace.accounts.stack(i)));
        if (depth != 0 && frames.size() > depth) frames.resize(depth);
        StackSite& site = by_key[site_key(frames)];
        if (site.accounts.empty()) site.frames = std::move(frames);
        add(site, trace.accounts, Table::kFirstStack + static_cast<uint32_t>(i));
    }
    std::vector<StackSite> sites;
    sites.reserve(by_key.size());
    for (auto& [key, site] : by_key) sites.push_back(std::move(site));
    std::ranges::stable_sort(sites, std::greater{}, [&](const StackSite& site) {
        return std::pair(rank_of(site, rank), site.allocated_bytes);
    });
    return sites;
}

int64_t lifetime_quantile(const std::vector<LifetimeCount>& lifetimes, double share)
{
    uint64_t all = 0;
    for (const LifetimeCount& count : lifetimes) all += count.blocks;
    double before = 0;
    for (const LifetimeCount& count : lifetimes) {
        before += static_cast<double>(count.blocks);
        // The end of the bucket: twice its begin.
        if (before >= share * static_cast<double>(all)) return 2 * std::max<int64_t>(count.from_ns, 1);
    }
    return 0;
}

} // namespace leak::analyzer
