#include "analyzer/replay/replay_result.hpp"

#include <algorithm>

namespace leak::analyzer {

namespace {

void fill_blocks(const Replayer& replayer, ReplayResult& result)
{
    result.unfreed.clear();
    result.mapped.clear();
    result.inherited_blocks = 0;
    result.inherited_bytes = 0;
    for (const LiveBlock& block : replayer.live_blocks()) {
        if (!block.inherited) {
            result.unfreed.push_back(block);
            continue;
        }
        const format::Amount amount = amount_of(block, result.info.sample_bytes);
        result.inherited_blocks += amount.blocks;
        result.inherited_bytes += amount.bytes;
    }
    result.inherited_blocks = format::whole_blocks(result.inherited_blocks, result.info.sample_bytes);
    for (const LiveBlock& range : replayer.live_mappings()) {
        if (range.inherited) continue;
        result.mapped.push_back(range);
        result.totals.mapped_bytes += range.bytes;
    }
}

void fill_info(const TraceContents& trace, const Replayer& replayer, TraceInfo& info)
{
    info.duration_ns = std::max<int64_t>(replayer.end_ns(), 0);
    info.damage = trace.damage.entries();
    info.unlisted = replayer.unlisted();
    info.gap_events = trace.header.lost_events + trace.damage.lost_events();
    info.complete = info.end_state != format::EndState::open && info.gap_events == 0 && info.damage.empty();
}

} // namespace

void fill_result(const TraceContents& trace, Replayer& replayer, ReplayResult& result)
{
    result.totals = replayer.totals();
    result.mismatches = replayer.mismatches();
    fill_blocks(replayer, result);
    result.accounts = replayer.take_accounts();
    fill_info(trace, replayer, result.info);
}

} // namespace leak::analyzer
