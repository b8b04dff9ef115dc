#include "analyzer/report/block_classes.hpp"

#include "analyzer/report/allocator_memory.hpp"

#include <algorithm>
#include <unordered_map>

namespace leak::analyzer {

namespace {

// Whether a stack makes strings of before C++11, by the name of the function that does.
struct OldStrings {
    const ReplayResult& trace;
    Symbolizer& symbolizer;
    std::unordered_map<StackId, bool> known = {};

    bool operator()(StackId stack)
    {
        const auto [at, is_new] = known.try_emplace(stack, false);
        if (is_new)
            at->second = std::ranges::any_of(symbolizer.symbolize(trace.stacks.frames(stack)), [](const Frame& frame) {
                return frame.function.contains("::_Rep::_S_create");
            });
        return at->second;
    }
};

} // namespace

MemoryFacts::MemoryFacts(const ReplayResult& trace, Symbolizer& symbolizer)
    : allocator(allocator_memory(trace)), graph(*trace.memory, allocator, OldStrings{trace, symbolizer}),
      reachability(find_reachability(graph))
{
}

std::vector<BlockFact> facts_of(const MemoryFacts& memory, std::span<const LiveBlock> blocks)
{
    const PointerGraph& graph = memory.graph;
    const Reachability& reachability = memory.reachability;
    std::vector<BlockFact> by_number(graph.blocks().size());
    for (BlockNumber block = 0; block < by_number.size(); ++block) {
        by_number[block].block_class = reachability.classes[block];
        if (reachability.leaders[block] == kNoBlock) continue;
        BlockFact& leader = by_number[reachability.leaders[block]];
        ++leader.below_blocks;
        leader.below_bytes += graph.live(block).bytes;
    }
    std::vector<BlockFact> facts(blocks.size());
    for (size_t i = 0; i < blocks.size(); ++i)
        if (const BlockNumber number = graph.find(blocks[i]); number != kNoBlock) facts[i] = by_number[number];
    return facts;
}

} // namespace leak::analyzer
