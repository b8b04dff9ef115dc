// Whether the program could still reach its unfreed blocks, for reports.
//
// One thread. Memory: the graph of pointers (pointer_graph.hpp), and 24 bytes a block.
#pragma once

#include "analyzer/analysis/reachability.hpp"
#include "analyzer/replay/replay.hpp"
#include "analyzer/symbolize/symbolizer.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace leak::analyzer {

struct BlockFact {
    BlockClass block_class = BlockClass::unknown;
    // Of an unreachable block: the indirect ones that are lost with it.
    uint32_t below_blocks = 0;
    uint64_t below_bytes = 0;
};

// The graph of the trace's snapshot and what follows from it. The trace must have a memory, and outlive it.
struct MemoryFacts {
    MemoryFacts(const ReplayResult& trace, Symbolizer& symbolizer);

    AllocatorMemory allocator;
    PointerGraph graph;
    Reachability reachability;
};

// Of each of `blocks`, in their order.
[[nodiscard]] std::vector<BlockFact> facts_of(const MemoryFacts& memory, std::span<const LiveBlock> blocks);

} // namespace leak::analyzer
