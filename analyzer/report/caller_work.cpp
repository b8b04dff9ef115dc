#include "analyzer/report/caller_work.hpp"

#include <algorithm>

namespace leak::analyzer {

namespace {

using Table = StackAccounts::Table;

constexpr uint64_t kLeastPart = 20; // of all releases: a twentieth

} // namespace

CallerWork::CallerWork(const ReplayResult& trace) : trace_(trace), below_(trace.stacks.size())
{
    for (size_t i = 0; i < trace.accounts.stacks(); ++i) {
        const auto totals = trace.accounts.totals(Table::kFirstStack + static_cast<uint32_t>(i));
        below_[trace.accounts.stack(i).value] = {totals.allocations, totals.releases};
    }
    // A node is made after its caller.
    for (uint32_t node = static_cast<uint32_t>(below_.size()); node-- > 1;) {
        Counts& caller = below_[trace.stacks.caller(StackId{node}).value];
        caller.allocations += below_[node].allocations;
        caller.releases += below_[node].releases;
    }
}

StackId CallerWork::caller_of(std::span<const uint32_t> accounts) const
{
    const StackAccounts& all = trace_.accounts;
    uint64_t allocations = 0;
    for (const uint32_t account : accounts) allocations += all.totals(account).allocations;
    const uint32_t largest =
        *std::ranges::max_element(accounts, {}, [&](uint32_t account) { return all.totals(account).peak_bytes; });
    const uint64_t least = std::max(allocations / 2, below_[0].releases / kLeastPart);
    StackId stack = all.stack(largest - Table::kFirstStack);
    while (stack.value != 0 && below_[stack.value].releases < least) stack = trace_.stacks.caller(stack);
    return stack;
}

std::vector<uint32_t> CallerWork::accounts_below(StackId caller) const
{
    if (caller.value == 0) return {Table::kHeap};
    std::vector<bool> is_below(trace_.stacks.size());
    is_below[caller.value] = true;
    for (uint32_t node = caller.value + 1; node < is_below.size(); ++node)
        is_below[node] = is_below[trace_.stacks.caller(StackId{node}).value];
    std::vector<uint32_t> accounts;
    for (uint32_t i = 0; i < trace_.accounts.stacks(); ++i)
        if (is_below[trace_.accounts.stack(i).value]) accounts.push_back(Table::kFirstStack + i);
    return accounts;
}

} // namespace leak::analyzer
