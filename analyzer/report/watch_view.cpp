#include "analyzer/report/watch_view.hpp"

#include <algorithm>
#include <tuple>

namespace leak::analyzer {

namespace {

constexpr int64_t kRecentNs = 10'000'000'000;
constexpr double kNsPerSecond = 1e9;

struct Ranked {
    int64_t rank = 0;
    uint64_t bytes = 0;
    StackId stack;
};

// A replay that started over behind damage may know of less than before.
[[nodiscard]] uint64_t more(uint64_t now, uint64_t before)
{
    return now < before ? 0 : now - before;
}

} // namespace

Watcher::Watcher(const LiveReplay& live, std::optional<int64_t> window_ns)
    : live_(live), window_(window_ns), recent_(kRecentNs), symbolizer_({})
{
}

void Watcher::look(int64_t now_ns, int64_t run_ns)
{
    if (live_.stacks_version() != stacks_version_) {
        stacks_version_ = live_.stacks_version();
        window_.clear();
        recent_.clear();
        names_.clear();
    }
    symbolizer_.add(live_.modules());
    take_amounts();
    window_.look(now_ns, amounts_);
    recent_.look(now_ns, amounts_);
    const Totals& totals = live_.replayer().totals();
    const uint64_t sample_bytes = live_.info().sample_bytes;
    const WatchRates now{run_ns, format::whole_blocks(totals.allocations, sample_bytes),
                         format::whole_blocks(totals.releases, sample_bytes), totals.allocated_bytes};
    const bool is_first = looked_ns_ == 0;
    seen_ = {};
    seen_.info = live_.info();
    seen_.info.duration_ns = run_ns;
    seen_.info.unlisted = live_.replayer().unlisted();
    seen_.is_first = is_first;
    seen_.peak_bytes = totals.peak_bytes;
    seen_.window_ns = window_.span_ns();
    seen_.rates = {is_first ? run_ns : now_ns - looked_ns_, more(now.allocations, before_.allocations),
                   more(now.releases, before_.releases), more(now.allocated_bytes, before_.allocated_bytes)};
    for (const LiveAmount& amount : amounts_) {
        seen_.live_bytes += amount.bytes;
        seen_.live_blocks += amount.blocks;
        seen_.stacks += amount.blocks != 0 ? 1 : 0;
    }
    before_ = now;
    looked_ns_ = now_ns;
}

// A stack has heap blocks or mapped ranges; those have no blocks.
void Watcher::take_amounts()
{
    const Replayer& replayer = live_.replayer();
    const StackAccounts& accounts = replayer.accounts();
    amounts_.assign(live_.stacks().size(), {});
    for (size_t i = 0; i < accounts.stacks(); ++i) {
        const auto totals = accounts.totals(static_cast<uint32_t>(StackAccounts::Table::kFirstStack + i));
        if (totals.live_blocks != 0) amounts_[accounts.stack(i).value] = {totals.live_bytes, totals.live_blocks};
    }
    const uint64_t sample_bytes = live_.info().sample_bytes;
    for (const LiveBlock& block : replayer.within_realloc()) {
        if (block.inherited || block.kind == format::EventKind::none) continue;
        const format::Amount amount = amount_of(block, sample_bytes);
        amounts_[block.stack.value].bytes += amount.bytes;
        amounts_[block.stack.value].blocks += format::whole_blocks(amount.blocks, sample_bytes);
    }
}

WatchView Watcher::view(WatchSort sort, size_t most)
{
    std::vector<Ranked> all;
    for (uint32_t i = 0; i < amounts_.size(); ++i) {
        const LiveAmount& amount = amounts_[i];
        const int64_t growth = window_.growth(StackId{i}, amount.bytes);
        if (amount.blocks == 0 && growth == 0) continue;
        const int64_t rank = sort == WatchSort::growth  ? growth
                             : sort == WatchSort::bytes ? static_cast<int64_t>(amount.bytes)
                                                        : static_cast<int64_t>(amount.blocks);
        all.push_back({rank, amount.bytes, StackId{i}});
    }
    const size_t shown = std::min(most, all.size());
    std::ranges::partial_sort(all, all.begin() + static_cast<std::ptrdiff_t>(shown), {},
                              [](const Ranked& one) { return std::tuple(-one.rank, ~one.bytes, one.stack); });
    WatchView view = seen_;
    view.sort = sort;
    const double recent_seconds = static_cast<double>(recent_.span_ns()) / kNsPerSecond;
    for (const Ranked& one : std::span(all).first(shown)) {
        WatchStack& stack = view.top.emplace_back();
        stack.bytes = one.bytes;
        stack.blocks = amounts_[one.stack.value].blocks;
        stack.growth = window_.growth(one.stack, one.bytes);
        if (recent_seconds > 0)
            stack.growth_per_second = static_cast<double>(recent_.growth(one.stack, one.bytes)) / recent_seconds;
        stack.frames = frames_of(one.stack);
    }
    return view;
}

const std::vector<Frame>& Watcher::frames_of(StackId stack)
{
    const auto [known, is_new] = names_.try_emplace(stack);
    if (is_new) known->second = symbolizer_.symbolize(live_.stacks().frames(stack));
    return known->second;
}

} // namespace leak::analyzer
