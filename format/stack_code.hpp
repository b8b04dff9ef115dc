// The stacks of a buffer's events, in few bytes.
//
// Programs allocate at the same places again and again. So a stack that an earlier event of the buffer had is coded as
// its number, any other as its difference from the stack of the event before: frames popped, frames pushed. Stacks that
// are coded as differences are numbered from 0 in each buffer. Nobody compares whole stacks for that: the encoder keeps
// 64-bit hashes in a small table that forgets, and two stacks that differ and hash alike are not met in practice (a
// look-up in 2^63).
#pragma once

#include "format/layout.hpp"

#include <cstdint>
#include <cstring>

namespace leak::format {

// The stacks that a buffer has.
class SeenStacks {
public:
    static constexpr uint32_t kNew = UINT32_MAX;

    // A new buffer: nothing is known, the current stack is empty.
    void begin() noexcept
    {
        depth_ = 0;
        hashes_[0] = kMultiplier;
        next_number_ = 0;
        std::memset(places_, 0, sizeof places_);
    }

    [[nodiscard]] uint32_t depth() const noexcept { return depth_; } // of the current stack

    // The number of the stack that differs so from the current one, or kNew: then it has the next number. It becomes
    // the current one. At most depth() frames are popped; no stack is deeper than kMaxStackDepth.
    template <typename Id> [[nodiscard, gnu::always_inline]] uint32_t number_of(uint32_t pop_count, uint32_t push_count,
                                                                                const Id* pushed_pc_ids) noexcept
    {
        uint64_t* at = hashes_ + (depth_ - pop_count);
        uint64_t hash = *at;
        for (uint32_t i = 0; i < push_count; ++i) *++at = hash = extend_hash(hash, pushed_pc_ids[i]);
        depth_ += push_count - pop_count;
        Place& place = places_[hash >> (64 - kPlacesLog2)];
        hash |= 1; // of no empty place
        if (place.hash == hash) [[likely]]
            return static_cast<uint32_t>(place.number);
        place = {hash, next_number_++};
        return kNew;
    }

private:
    struct Place {
        uint64_t hash;
        uint64_t number;
    };
    static constexpr uint64_t kMultiplier = 0x9e3779b97f4a7c15u;
    static constexpr unsigned kPlacesLog2 = 10;

    // The hash of the stack of which `outer` is the hash without its innermost frame.
    [[nodiscard]] static constexpr uint64_t extend_hash(uint64_t outer, uint32_t pc_id) noexcept
    {
        const uint64_t product = (outer ^ pc_id) * kMultiplier;
        return product ^ product >> 32;
    }

    uint32_t depth_ = 0;
    uint32_t next_number_ = 0;
    uint64_t hashes_[1 + kMaxStackDepth]; // of the current stack's outermost frames
    Place places_[1u << kPlacesLog2];
};

} // namespace leak::format
