#include "analyzer/report/moment.hpp"

namespace leak::analyzer {

std::vector<LiveBlock> blocks_at(const ReplayResult& trace, const Histories& histories, int64_t at_ns)
{
    std::vector<LiveBlock> blocks;
    for (uint32_t i = 0; i < trace.accounts.stacks(); ++i) {
        const uint32_t account = StackAccounts::Table::kFirstStack + i;
        const HistorySample state = state_at(histories.of({&account, 1}), at_ns);
        if (state.live_blocks == 0) continue;
        LiveBlock block;
        block.bytes = state.live_bytes;
        block.blocks = state.live_blocks;
        block.allocated_ns = at_ns;
        block.stack = trace.accounts.stack(i);
        block.thread = ThreadId{UINT32_MAX};
        blocks.push_back(block);
    }
    return blocks;
}

} // namespace leak::analyzer
