// What is known of each large block that nobody frees, and of blocks that are left over of their stacks.
//
// One thread. Memory: that of the pointers into them (block_uses.hpp).
#pragma once

#include "analyzer/analysis/retention_rules.hpp"
#include "analyzer/report/block_classes.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

namespace leak::analyzer {

struct RetainedBlock {
    const LiveBlock* block = nullptr;
    BlockNumber number = kNoBlock; // in the graph; none for mapped ranges, and where there is no snapshot
    BlockEvidence evidence;
    Retention retention;
};

struct RetainedBlocks {
    RunEvidence run;
    std::unique_ptr<UseFinder> uses; // where there is a snapshot
    std::vector<RetainedBlock> blocks;
    std::unordered_map<StackId, SiblingCounts> siblings; // of their stacks
    uint64_t judged = 0;                                 // blocks that were looked at
};

// memory: the trace's, or null. Blocks that the program can't reach are left out. The result refers to both.
[[nodiscard]] RetainedBlocks find_retained(const ReplayResult& trace, const MemoryFacts* memory,
                                           const RetentionRules& rules);

} // namespace leak::analyzer
