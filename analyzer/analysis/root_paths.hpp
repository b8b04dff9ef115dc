// How the program gets to a block: a shortest path of pointers from a root.
//
// One thread. Memory: 4 bytes a block, and 4 more while paths are searched for. Time: one look at each pointer.
#pragma once

#include "analyzer/analysis/pointer_graph.hpp"

#include <cstdint>
#include <vector>

namespace leak::analyzer {

// Instead of the number of a word.
inline constexpr uint32_t kRegisterWord = UINT32_MAX - 1; // a register holds the pointer

class RootPaths {
public:
    // `graph` must outlive it. Of roots that are equally near, those in modules' data come before those in other
    // memory, stacks and registers: they have a name.
    explicit RootPaths(const PointerGraph& graph);

    // Numbers of words: the first lies in a root, each other one in the block to which the one before points, the last
    // one points into `block`. Empty: no path leads there.
    [[nodiscard]] std::vector<uint32_t> to_block(BlockNumber block) const;
    // The same, where the last one is to be `word`.
    [[nodiscard]] std::vector<uint32_t> by_word(uint32_t word) const;

private:
    void visit(BlockNumber to, uint32_t by);

    const PointerGraph& graph_;
    std::vector<uint32_t> parents_; // by block: the word that leads there
    std::vector<BlockNumber> queue_;
};

} // namespace leak::analyzer
