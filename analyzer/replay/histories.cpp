#include "analyzer/replay/histories.hpp"

#include <algorithm>
#include <iterator>

namespace leak::analyzer {

namespace {

// Figures may fall, so that differences wrap around; sums wrap back.
[[nodiscard]] format::HistoryPoint difference(const format::HistoryPoint& to, const format::HistoryPoint& from)
{
    return {to.account,
            to.tick,
            to.live_bytes - from.live_bytes,
            to.live_blocks - from.live_blocks,
            to.allocated_bytes - from.allocated_bytes,
            to.events - from.events};
}

[[nodiscard]] format::HistoryPoint sum(const format::HistoryPoint& state, const format::HistoryPoint& change)
{
    return {change.account,
            change.tick,
            state.live_bytes + change.live_bytes,
            state.live_blocks + change.live_blocks,
            state.allocated_bytes + change.allocated_bytes,
            state.events + change.events};
}

} // namespace

HistorySample state_at(std::span<const HistorySample> curve, int64_t at_ns)
{
    const auto behind = std::ranges::upper_bound(curve, at_ns, {}, &HistorySample::at_ns);
    HistorySample state = behind == curve.begin() ? HistorySample{} : *std::prev(behind);
    state.at_ns = at_ns;
    return state;
}

Histories::Histories(const StackAccounts& accounts, int64_t end_ns) : accounts_(accounts), end_ns_(end_ns)
{
    const StackAccounts::Table& table = accounts.table();
    std::vector<format::HistoryPoint> last; // how each account stands
    for (uint32_t account = 0; account < table.size(); ++account) {
        if (table[account].changed != 0) last.push_back(table.state_of(account));
    }
    const std::vector<format::HistoryPoint>* const lists[] = {&table.points(), &last};
    // By counting, as there are many.
    begin_.resize(table.size() + 1);
    for (const auto* points : lists)
        for (const format::HistoryPoint& point : *points) ++begin_[point.account + 1];
    for (size_t i = 1; i < begin_.size(); ++i) begin_[i] += begin_[i - 1];
    points_.resize(begin_.back());
    std::vector<size_t> next(begin_);
    for (const auto* points : lists)
        for (const format::HistoryPoint& point : *points) points_[next[point.account]++] = point;
}

Curve Histories::of(std::span<const uint32_t> accounts) const
{
    std::vector<format::HistoryPoint> changes;
    for (const uint32_t account : accounts) {
        format::HistoryPoint before{};
        for (size_t i = begin_[account]; i < begin_[account + 1]; ++i) {
            changes.push_back(difference(points_[i], before));
            before = points_[i];
        }
    }
    std::vector<uint64_t> order; // by tick; the number of the change in the low half
    order.reserve(changes.size());
    for (const format::HistoryPoint& change : changes) order.push_back(uint64_t{change.tick} << 32 | order.size());
    std::ranges::sort(order);
    Curve curve;
    format::HistoryPoint state{};
    for (size_t i = 0; i < order.size(); ++i) {
        state = sum(state, changes[static_cast<uint32_t>(order[i])]);
        if (i + 1 < order.size() && order[i + 1] >> 32 == state.tick) continue;
        curve.push_back(accounts_.sample(state));
        curve.back().at_ns = std::min(curve.back().at_ns, end_ns_);
    }
    return curve;
}

} // namespace leak::analyzer
