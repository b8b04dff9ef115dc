// Who uses a large block, and how much of it: the pointers into it, those of its mere owners set apart.
//
// In C++ somebody nearly always holds a block's start, be it only to free it one day. Such an owner is no user. It is
// recognised by who uses the owner itself:
//
//   { part, owner } ──▶ owner { virtual table, counts, start }        std::shared_ptr alias, Arrow's and others' slices
//   { part, start } ──▶ block { virtual table, counts, ... }          the same of std::make_shared
//
// where all pointers to the owner stand beside a pointer to the inside of the block. One thread. Memory: 4 bytes a
// pointer into the blocks asked for, and the graph's own.
#pragma once

#include "analyzer/analysis/container_header.hpp"
#include "analyzer/analysis/pointers_into.hpp"

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace leak::analyzer {

struct BlockUses {
    uint64_t pointers_to_start = 0; // or close behind it, where a header ends
    uint64_t pointers_inside = 0;
    uint64_t owners = 0;                   // of those to the start, that belong to mere owners
    std::optional<OffsetRange> window{};   // of what pointers to the inside lead to, the last page of it whole
    bool is_used_as_whole = false;         // somebody who is no mere owner holds the start, or that can't be told
    std::optional<OffsetRange> contents{}; // as a container's header says
    uint64_t furthest = 0;                 // offset of the pointer furthest inside; 0: none
};

class UseFinder {
public:
    // blocks: those that will be asked for, ascending.
    UseFinder(const PointerGraph& graph, const Reachability& reachability, const std::vector<BlockNumber>& blocks);

    [[nodiscard]] BlockUses uses(BlockNumber block) const;
    // Numbers of the words that point into it: those first that use it, of the same kind by address.
    [[nodiscard]] std::vector<uint32_t> referrers(BlockNumber block, size_t most) const;

private:
    [[nodiscard]] bool is_whole(uint64_t value, BlockNumber block) const;
    [[nodiscard]] bool is_part_at(uint64_t address, BlockNumber block) const;
    [[nodiscard]] bool begins_with_constants(BlockNumber block) const;
    [[nodiscard]] bool is_owner(uint32_t word, BlockNumber block) const;
    [[nodiscard]] OffsetRange window_of(std::vector<uint64_t> values, BlockNumber block) const;

    const PointerGraph& graph_;
    PointersInto pointers_;
    PointersInto to_owners_;
};

} // namespace leak::analyzer
