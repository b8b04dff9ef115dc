// The stacks of a buffer's events, in few bytes.
//
// Programs allocate at the same places again and again. So a stack that an earlier event of the buffer had is coded as
// its number, any other as its difference from the stack of the event before: frames popped, frames pushed. Stacks that
// are coded as differences are numbered from 0 in each buffer. Nobody compares whole stacks for that: the writer keeps
// 64-bit hashes in a small table that forgets, and two stacks of one depth that differ and hash alike are not met in
// practice (a look-up in 2^64).
#pragma once

#include <cstdint>
#include <cstring>

namespace leak::format {

// The hash of the stack of which `outer` is the hash without its innermost frame; 0 is that of the empty stack.
[[nodiscard]] constexpr uint64_t extend_stack_hash(uint64_t outer, uint32_t pc_id) noexcept
{
    const uint64_t product = (outer ^ pc_id) * 0x9e3779b97f4a7c15u;
    return product ^ product >> 32;
}

// A stack as its difference from the stack of the stream's previous event that had one; ids run from outer to inner.
struct StackDelta {
    uint32_t pop_count = 0;
    uint32_t push_count = 0;
    const uint32_t* pushed_pc_ids = nullptr;
    bool truncated = false;
    uint32_t depth = 0; // of the whole stack
    uint64_t hash = 0;  // of the whole stack; 0: not known, the stack is coded as a difference

    [[nodiscard]] bool same() const noexcept { return pop_count == 0 && push_count == 0; }
};

// The stacks that a buffer has. One a stream; used by the thread that owns it, inside a hook.
class SeenStacks {
public:
    static constexpr uint32_t kNew = UINT32_MAX;

    // A new buffer: nothing is known.
    void begin() noexcept
    {
        next_number_ = 0;
        std::memset(places_, 0, sizeof places_);
    }

    // The number of the stack, or kNew: then it has the next number.
    [[nodiscard, gnu::always_inline]] uint32_t number_of(const StackDelta& stack) noexcept
    {
        Place& place = places_[stack.hash * 0x9e3779b97f4a7c15u >> (64 - kPlacesLog2)];
        if (place.hash == stack.hash && place.depth == stack.depth && stack.hash != 0) return place.number;
        place = {stack.hash, stack.depth, next_number_++};
        return kNew;
    }

private:
    struct Place {
        uint64_t hash;
        uint32_t depth;
        uint32_t number;
    };
    static constexpr unsigned kPlacesLog2 = 10;

    uint32_t next_number_ = 0;
    Place places_[1u << kPlacesLog2];
};

} // namespace leak::format
