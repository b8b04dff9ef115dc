// The blocks that are live at one moment of the replay, by address.
//
// One thread. Memory grows with the most blocks that were ever live at once. Open addressing with linear probing and
// backward-shift deletion: an event costs one cache miss or two, and there are no tombstones to clean up.
//
//   invariant: size_ <= places_.size() * 5 / 8, places_.size() is a power of two
//   invariant: every place in use lies between its home and the next empty place, going up and round
#pragma once

#include "analyzer/replay/trace_model.hpp"

#include <optional>
#include <vector>

namespace leak::analyzer {

class LiveTable {
public:
    LiveTable();

    // Puts `block` at its address, whose kind must not be none; gives back the block that was there.
    std::optional<LiveBlock> put(const LiveBlock& block);

    // Takes the block at `address` out.
    std::optional<LiveBlock> take(uint64_t address);

    // Valid until the next change.
    [[nodiscard]] const LiveBlock* find(uint64_t address) const;

    [[nodiscard]] size_t size() const { return size_; }

    template <typename Visit> void for_each(Visit&& visit) const
    {
        for (const LiveBlock& block : blocks_)
            if (block.kind != format::EventKind::none) visit(block);
    }

private:
    static constexpr uint32_t kFree = UINT32_MAX;
    struct Place {
        uint64_t address = 0;
        uint32_t block = kFree; // where it lies in blocks_
    };
    [[nodiscard]] static bool is_used(const Place& place) { return place.block != kFree; }
    [[nodiscard]] size_t home_of(uint64_t address) const;
    [[nodiscard]] size_t next(size_t place) const { return (place + 1) & (places_.size() - 1); }
    // The place of `address`, or the empty place where it would go.
    [[nodiscard]] size_t place_of(uint64_t address) const;
    void close_hole(size_t hole);
    void grow();

    std::vector<Place> places_;
    std::vector<LiveBlock> blocks_; // of no kind: free
    std::vector<uint32_t> free_;    // of blocks_
    size_t size_ = 0;
    unsigned hash_shift_ = 0;
};

} // namespace leak::analyzer
