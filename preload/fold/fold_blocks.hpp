// The blocks that are live at the fold's moment, by address.
//
// One thread. 32 bytes a block, in no order, and 4 bytes for each of the places that find them: open addressing with
// linear probing, at most three quarters full, backward-shift deletion.
#pragma once

#include "preload/fold/fold_block.hpp"
#include "preload/fold/mapped_array.hpp"

#include <bit>

namespace leak::preload {

class FoldBlocks {
public:
    // Puts `block` at its address. True: one was there before, and is now in `replaced`.
    bool put(const FoldBlock& block, FoldBlock& replaced) noexcept
    {
        if ((blocks_.size() + 1) * 4 > places_.size() * 3 && !rehash(places_.size() * 2)) return false;
        const size_t place = place_of(block.address);
        if (const uint32_t number = places_[place]; number != 0) {
            replaced = blocks_[number - 1];
            blocks_[number - 1] = block;
            return true;
        }
        blocks_.push_back(block);
        if (!blocks_.out_of_memory()) places_[place] = static_cast<uint32_t>(blocks_.size());
        return false;
    }

    // Takes the block at `address` out. False: there is none.
    bool take(uint64_t address, FoldBlock& block) noexcept
    {
        if (blocks_.empty()) return false;
        const size_t place = place_of(address);
        const uint32_t number = places_[place];
        if (number == 0) return false;
        block = blocks_[number - 1];
        close_hole(place);
        // The last block takes the place of the one that went.
        if (number != blocks_.size()) {
            blocks_[number - 1] = blocks_.back();
            places_[place_of_number(blocks_.back().address, static_cast<uint32_t>(blocks_.size()))] = number;
        }
        blocks_.pop_back();
        return true;
    }

    [[nodiscard]] bool has(uint64_t address) const noexcept
    {
        return !blocks_.empty() && places_[place_of(address)] != 0;
    }

    [[nodiscard]] size_t size() const noexcept { return blocks_.size(); }
    [[nodiscard]] const FoldBlock* begin() const noexcept { return blocks_.begin(); }
    [[nodiscard]] const FoldBlock* end() const noexcept { return blocks_.end(); }

    // Puts the blocks in order of their allocation.
    void sort() noexcept;

    [[nodiscard]] bool out_of_memory() const noexcept { return blocks_.out_of_memory() || places_.out_of_memory(); }

private:
    static constexpr size_t kFewestPlaces = 1024;

    [[nodiscard]] size_t home_of(uint64_t address) const noexcept
    {
        return address * 0x9e3779b97f4a7c15u >> (64 - std::countr_zero(places_.size()));
    }
    [[nodiscard]] size_t next(size_t place) const noexcept { return (place + 1) & (places_.size() - 1); }
    [[nodiscard]] size_t place_of(uint64_t address) const noexcept
    {
        size_t place = home_of(address);
        while (places_[place] != 0 && blocks_[places_[place] - 1].address != address) place = next(place);
        return place;
    }
    [[nodiscard]] size_t place_of_number(uint64_t address, uint32_t number) const noexcept
    {
        size_t place = home_of(address);
        while (places_[place] != number) place = next(place);
        return place;
    }
    void close_hole(size_t hole) noexcept
    {
        for (size_t place = next(hole); places_[place] != 0; place = next(place)) {
            const size_t home = home_of(blocks_[places_[place] - 1].address);
            // Whoever lies between its home and here, going up and round, past the hole, may move into it.
            if (((place - home) & (places_.size() - 1)) < ((place - hole) & (places_.size() - 1))) continue;
            places_[hole] = places_[place];
            hole = place;
        }
        places_[hole] = 0;
    }
    bool rehash(size_t places) noexcept;

    MappedArray<FoldBlock> blocks_;
    MappedArray<uint32_t> places_; // number of a block from 1; 0: empty. Its size is a power of two
};

} // namespace leak::preload
