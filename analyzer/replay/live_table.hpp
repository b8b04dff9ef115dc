// The blocks that are live at one moment of the replay, by address.
//
// One thread. Memory grows with the most blocks that were ever live at once. Open addressing with linear probing and
// backward-shift deletion: an event costs one cache miss or two, and there are no tombstones to clean up.
//
//   invariant: size_ <= places_.size() * 5 / 8, places_.size() is a power of two
//   invariant: every block lies between its home and the next empty place, going up and round
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
        for (const LiveBlock& block : places_)
            if (is_used(block)) visit(block);
    }

private:
    [[nodiscard]] static bool is_used(const LiveBlock& block) { return block.kind != format::EventKind::none; }
    [[nodiscard]] size_t home_of(uint64_t address) const;
    [[nodiscard]] size_t next(size_t place) const { return (place + 1) & (places_.size() - 1); }
    // The place of `address`, or the empty place where it would go.
    [[nodiscard]] size_t place_of(uint64_t address) const;
    void close_hole(size_t hole);
    void grow();

    std::vector<LiveBlock> places_;
    size_t size_ = 0;
    unsigned hash_shift_ = 0;
};

} // namespace leak::analyzer
