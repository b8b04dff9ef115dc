// What a container keeps in a block, by what it keeps of it itself: pointers to the beginning and the end of its
// contents. (Many containers keep a number instead, which a snapshot doesn't have.)
//
// Pure functions, any thread.
#pragma once

#include "analyzer/analysis/pointer_graph.hpp"

#include <cstdint>
#include <optional>
#include <span>

namespace leak::analyzer {

// Offsets in a block.
struct OffsetRange {
    uint64_t from = 0;
    uint64_t to = 0; // behind the last
    friend bool operator==(const OffsetRange&, const OffsetRange&) = default;
};

// words: all that point into the block. Recognised are
//
//   begin, end, end of the room     std::vector, of libstdc++, libc++ and others; a cursor in a buffer or an arena
//   map, size, and the iterators    std::deque of libstdc++, where the block is its map of nodes
//   of the first and last element
//
// Nothing where there is no such header, or something else points to where it has no contents.
[[nodiscard]] std::optional<OffsetRange> contents_of(const PointerGraph& graph, BlockNumber block,
                                                     std::span<const uint32_t> words);

} // namespace leak::analyzer
