// What becomes of blocks that nobody frees: whether the program can still reach them.
//
// The definitions are those of Valgrind's memcheck (manual, section "Memory leak detection") and of LeakSanitizer:
// conservative, by aligned words. One thread. Memory: some 20 bytes a block.
#pragma once

#include "analyzer/analysis/pointer_graph.hpp"

#include <cstdint>
#include <vector>

namespace leak::analyzer {

enum class BlockClass : uint8_t {
    unreachable,   // no pointer to it, or only from blocks that it keeps itself
    indirect,      // pointers from unreachable blocks alone
    interior_only, // every way to it from a root has a pointer to the inside of a block
    reachable,     // a way of pointers to the starts of blocks
    unknown,       // no scan was made, or not of this block
};
inline constexpr size_t kBlockClassCount = 5;

struct Reachability {
    std::vector<BlockClass> classes;  // by block number
    std::vector<BlockNumber> leaders; // of indirect blocks: the unreachable one that they are lost with, else kNoBlock
};

// A block of leak_alloc() is held by what holds the block around it only where a pointer to itself is there.
[[nodiscard]] Reachability find_reachability(const PointerGraph& graph);

} // namespace leak::analyzer
