// Numbers by key: open addressing with linear probing, at most half full.
//
// One thread. 32 bytes a key at least. Keys are not taken out one by one.
#pragma once

#include "preload/mapped_array.hpp"

#include <cstddef>
#include <cstdint>

namespace leak::preload {

class NumberTable {
public:
    static constexpr uint32_t kNone = UINT32_MAX;

    // kNone: the key is not there.
    [[nodiscard]] uint32_t find(uint64_t key) const noexcept
    {
        return size_ == 0 ? kNone : places_[place_of(key)].number;
    }
    [[nodiscard]] bool has(uint64_t key) const noexcept { return find(key) != kNone; }

    // Adds a key, or gives it another number, which is not kNone.
    void put(uint64_t key, uint32_t number) noexcept
    {
        if (size_ >= places_.size() / 2 && !grow()) return;
        Place& place = places_[place_of(key)];
        if (place.number == kNone) ++size_;
        place = {key, number};
    }

    // Gives the memory back.
    void clear() noexcept
    {
        places_ = MappedArray<Place>();
        size_ = 0;
    }

    [[nodiscard]] bool out_of_memory() const noexcept { return out_of_memory_; }

private:
    struct Place {
        uint64_t key;
        uint32_t number; // kNone: empty
    };

    [[nodiscard]] size_t place_of(uint64_t key) const noexcept
    {
        const uint64_t hash = key * 0x9e3779b97f4a7c15u;
        size_t place = (hash ^ hash >> 32) & (places_.size() - 1);
        while (places_[place].number != kNone && places_[place].key != key) place = (place + 1) & (places_.size() - 1);
        return place;
    }

    [[nodiscard]] bool grow() noexcept
    {
        constexpr size_t kFewest = 1024;
        NumberTable larger;
        if (!larger.places_.resize(places_.empty() ? kFewest : 2 * places_.size())) {
            out_of_memory_ = true;
            return false;
        }
        for (Place& place : larger.places_) place.number = kNone;
        for (const Place& place : places_)
            if (place.number != kNone) larger.places_[larger.place_of(place.key)] = place;
        places_ = std::move(larger.places_);
        return true;
    }

    MappedArray<Place> places_; // a power of two
    size_t size_ = 0;
    bool out_of_memory_ = false;
};

} // namespace leak::preload
