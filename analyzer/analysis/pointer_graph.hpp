// Which blocks point to which, as a snapshot found it: the words of the process's memory beside the blocks that were
// live then.
//
// One thread. Memory: 4 bytes a pointer and about 40 a block, beside the view.
#pragma once

#include "analyzer/replay/replay.hpp"

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace leak::analyzer {

// Number of a block in PointerGraph::blocks().
using BlockNumber = uint32_t;
inline constexpr BlockNumber kNoBlock = UINT32_MAX;

// A heap block, or one of leak_alloc(), which may lie within a heap block.
struct GraphBlock {
    uint64_t begin = 0;
    uint64_t end = 0;
    uint32_t live = 0;             // index into MemoryView::blocks
    BlockNumber around = kNoBlock; // the block that this one lies in
    uint32_t words_begin = 0;      // of MemoryImage::words: those that lie within it
    uint32_t words_end = 0;
    bool has_inner = false; // other blocks lie in it
};

// What the allocator has for itself.
struct AllocatorMemory {
    std::vector<AddressRange> ranges; // by address: outside of blocks nothing in them keeps a block alive
    bool is_glibc = false;            // its lists, in the C library's data, point to chunks
};

class PointerGraph {
public:
    // `memory` must outlive the graph. makes_old_strings: whether blocks of a stack are strings as C++ had them before
    // 2011; may be empty.
    PointerGraph(const MemoryView& memory, const AllocatorMemory& allocator,
                 std::function<bool(StackId)> makes_old_strings = {});

    [[nodiscard]] const MemoryView& memory() const { return memory_; }
    [[nodiscard]] std::span<const format::SnapshotWord> words() const { return memory_.image.words; }
    [[nodiscard]] std::span<const GraphBlock> blocks() const { return blocks_; } // by address
    [[nodiscard]] const LiveBlock& live(BlockNumber block) const { return memory_.blocks[blocks_[block].live]; }
    // The block that had this address and the same stamp; kNoBlock: it was not there then.
    [[nodiscard]] BlockNumber find(const LiveBlock& block) const;
    // The innermost block that holds the address; kNoBlock: none.
    [[nodiscard]] BlockNumber block_at(uint64_t address) const;

    // By number of a word: the block it points into, kNoBlock where into none.
    [[nodiscard]] BlockNumber target(uint32_t word) const { return targets_[word]; }
    // Numbers of the words outside all blocks that point into one, and keep it alive.
    [[nodiscard]] std::span<const uint32_t> root_words() const { return root_words_; }
    // Values of registers that point into blocks.
    [[nodiscard]] std::span<const uint64_t> root_values() const { return root_values_; }

    // A pointer to the start, or to where C++ points when it means the start, as Valgrind's --leak-check-heuristics
    // have it: behind the count that new[] keeps of elements with destructors, to the text of a string that has its
    // length before it, and to a base class further inside, which begins with a pointer to a virtual table as the block
    // does.
    [[nodiscard]] bool is_to_start(uint64_t value, BlockNumber block) const;

    // Calls visit(target, value, word) for each pointer in the block, but not for those into itself.
    template <typename Visit> void for_each_pointer(BlockNumber from, Visit&& visit) const
    {
        const GraphBlock& block = blocks_[from];
        for (uint32_t word = block.words_begin; word < block.words_end; ++word) {
            const BlockNumber to = targets_[word];
            if (to == kNoBlock || to == from) continue;
            if (block.has_inner && block_at(words()[word].address) != from) continue;
            visit(to, words()[word].value, word);
        }
    }

private:
    // Finds blocks by address: addresses >> shift lead to the first block that may hold one.
    struct Region {
        uint64_t begin = 0;
        uint64_t end = 0;
        unsigned shift = 0;
        size_t entries = 0; // where those of the region begin
    };

    void index_blocks();
    void add_region(BlockNumber first, BlockNumber last);
    void find_words_of_blocks();
    void find_roots(const AllocatorMemory& allocator);
    [[nodiscard]] bool is_next_chunk(uint64_t value, BlockNumber block) const;
    [[nodiscard]] const Region* region_at(uint64_t address) const;
    [[nodiscard]] bool points_to_constants(uint64_t address) const;

    const MemoryView& memory_;
    std::function<bool(StackId)> makes_old_strings_;
    std::vector<GraphBlock> blocks_;
    std::vector<Region> regions_; // by address
    std::vector<BlockNumber> entries_;
    mutable size_t last_region_ = 0;
    std::vector<BlockNumber> targets_;
    std::vector<uint32_t> root_words_;
    std::vector<uint64_t> root_values_;
};

} // namespace leak::analyzer
