// All pointers into some blocks that keep them alive: they lie in roots, or in blocks that the program can reach.
//
// One thread. Memory: 4 bytes a pointer found (12 while they are searched for), and a bit a block. Time: one look at
// each word.
#pragma once

#include "analyzer/analysis/reachability.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace leak::analyzer {

class PointersInto {
public:
    // targets: ascending. Pointers of a block into itself are left out.
    PointersInto(const PointerGraph& graph, const Reachability& reachability, std::vector<BlockNumber> targets);

    // Numbers of the words, ascending; none for a block that is no target.
    [[nodiscard]] std::span<const uint32_t> words(BlockNumber target) const;
    // Values of registers.
    [[nodiscard]] std::vector<uint64_t> registers(BlockNumber target) const;

private:
    [[nodiscard]] size_t slot_of(BlockNumber target) const; // targets_.size(): no target

    const PointerGraph& graph_;
    std::vector<BlockNumber> targets_;
    std::vector<uint32_t> words_; // by target
    std::vector<size_t> begins_;  // of a target's words; one more at the end
};

} // namespace leak::analyzer
