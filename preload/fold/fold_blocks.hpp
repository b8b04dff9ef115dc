// The blocks that are live at the fold's moment, by address.
//
// One thread. Open addressing with linear probing and backward-shift deletion: an event costs a cache miss or two. At
// most a quarter full up to 16 MiB, so that hardly any place is looked at in vain, and seven eighths beyond, where it
// grows by a fifth: at most 48 bytes a block there.
#pragma once

#include "preload/fold/fold_block.hpp"
#include "preload/mapped_array.hpp"

namespace leak::preload {

class FoldBlocks {
public:
    // Puts `block` at its address. True: one was there before, and is now in `replaced`.
    bool put(const FoldBlock& block, FoldBlock& replaced) noexcept
    {
        if (size_ >= most_ && !grow()) return false;
        const size_t place = place_of(block.address);
        const bool was_there = places_[place].kind != 0;
        if (was_there)
            replaced = places_[place];
        else
            ++size_;
        places_[place] = block;
        return was_there;
    }

    // Takes the block at `address` out. False: there is none.
    bool take(uint64_t address, FoldBlock& block) noexcept
    {
        if (size_ == 0) return false;
        const size_t place = place_of(address);
        if (places_[place].kind == 0) return false;
        block = places_[place];
        close_hole(place);
        --size_;
        return true;
    }

    [[nodiscard]] bool has(uint64_t address) const noexcept
    {
        return size_ != 0 && places_[place_of(address)].kind != 0;
    }

    // Where take() and put() will look first.
    void prefetch(uint64_t address) const noexcept
    {
        if (places_.size() != 0) __builtin_prefetch(&places_[home_of(address)], 1);
    }

    [[nodiscard]] size_t size() const noexcept { return size_; }
    template <typename Visit> void for_each(Visit&& visit) const noexcept
    {
        for (const FoldBlock& block : places_)
            if (block.kind != 0) visit(block);
    }

    // The blocks in order of their allocation: where they lie now, for at(). False: no memory.
    [[nodiscard]] bool sort(MappedArray<uint32_t>& order) const noexcept;
    [[nodiscard]] const FoldBlock& at(uint32_t place) const noexcept { return places_[place]; }

    [[nodiscard]] bool out_of_memory() const noexcept { return out_of_memory_; }

private:
    [[nodiscard]] size_t home_of(uint64_t address) const noexcept
    {
        const uint64_t hash = address * 0x9e3779b97f4a7c15u;
        return static_cast<size_t>(static_cast<unsigned __int128>(hash ^ hash >> 32) * places_.size() >> 64);
    }
    [[nodiscard]] size_t next(size_t place) const noexcept { return place + 1 == places_.size() ? 0 : place + 1; }
    [[nodiscard]] size_t place_of(uint64_t address) const noexcept
    {
        size_t place = home_of(address);
        while (places_[place].kind != 0 && places_[place].address != address) place = next(place);
        return place;
    }
    // How far `place` lies behind `from`, going up and round.
    [[nodiscard]] size_t distance(size_t from, size_t place) const noexcept
    {
        return place >= from ? place - from : place + places_.size() - from;
    }
    void close_hole(size_t hole) noexcept
    {
        for (size_t place = next(hole); places_[place].kind != 0; place = next(place)) {
            // Whoever has its home at the hole or before it may move into it.
            if (distance(home_of(places_[place].address), place) < distance(hole, place)) continue;
            places_[hole] = places_[place];
            hole = place;
        }
        places_[hole].kind = 0;
    }
    bool grow() noexcept;

    MappedArray<FoldBlock> places_; // of no kind: empty
    size_t size_ = 0;
    size_t most_ = 0; // blocks, before it grows
    bool out_of_memory_ = false;
};

} // namespace leak::preload
