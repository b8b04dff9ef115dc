#include "analyzer/replay/stack_accounts.hpp"

#include "analyzer/replay/histories.hpp"

#include <algorithm>

namespace leak::analyzer {

namespace {

constexpr size_t kMostPoints = 1 << 18;

} // namespace

StackAccounts::StackAccounts(const format::FileHeader& header, const StampConverter& clock, unsigned tick_log2)
    : clock_(clock), origin_(header.start.stamp), sample_bytes_(header.sample_bytes)
{
    table_.begin(origin_, tick_log2, kMostPoints);
}

uint32_t StackAccounts::of(StackId stack)
{
    if (stack.value >= account_of_.size())
        account_of_.resize(std::max<size_t>(stack.value + size_t{1}, 2 * account_of_.size()));
    uint32_t& account = account_of_[stack.value];
    if (account == 0) {
        account = table_.open();
        stacks_.push_back(stack);
    }
    return account;
}

format::StackTotals StackAccounts::totals(uint32_t account) const
{
    using Totals = format::StackTotals;
    Totals totals = table_[account];
    for (uint64_t Totals::* blocks : {&Totals::allocations, &Totals::releases, &Totals::temporary_allocations,
                                      &Totals::unlisted_blocks, &Totals::live_blocks})
        totals.*blocks = format::whole_blocks(totals.*blocks, sample_bytes_);
    return totals;
}

Curve StackAccounts::history(uint32_t account) const
{
    return Histories(*this).of({&account, 1});
}

int64_t StackAccounts::tick_ns() const
{
    return clock_.to_ns(origin_ + (uint64_t{1} << table_.tick_log2())) - clock_.to_ns(origin_);
}

std::vector<LifetimeCount> StackAccounts::lifetimes(uint32_t account) const
{
    std::vector<LifetimeCount> counts;
    table_.for_each_lifetime(account, [&](uint32_t bucket, uint64_t blocks) {
        const uint64_t from = bucket == 0 ? 0 : uint64_t{1} << bucket;
        counts.push_back(
            {clock_.to_ns(origin_ + from) - clock_.to_ns(origin_), format::whole_blocks(blocks, sample_bytes_)});
    });
    std::ranges::sort(counts, {}, &LifetimeCount::from_ns);
    return counts;
}

HistorySample StackAccounts::sample(const format::HistoryPoint& point) const
{
    const uint64_t end = origin_ + ((uint64_t{point.tick} + 1) << table_.tick_log2());
    return {clock_.to_ns(end), point.live_bytes, format::whole_blocks(point.live_blocks, sample_bytes_),
            point.allocated_bytes, format::whole_blocks(point.events, sample_bytes_)};
}

} // namespace leak::analyzer
