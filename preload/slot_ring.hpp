// Which slots of a bounded trace are used for what, and which may be used again.
//
// take() and free() by whoever extends the file, one at a time; note_events() and close() by any thread that
// compresses. An unbounded trace takes new slots for ever and keeps no account.
#pragma once

#include "format/layout.hpp"
#include "preload/lock.hpp"

#include <cstdint>

namespace leak::preload {

class SlotRing {
public:
    struct Use {
        format::SlotKind kind;
        bool is_closed;       // nothing is added any more
        bool is_folding;      // complete when the fold under way began, and all of it is folded by it
        uint64_t sequence;    // of the use, as in the slot's header
        uint64_t first_stamp; // of its events
        uint64_t last_stamp;
    };
    static constexpr uint32_t kNone = UINT32_MAX;
    // Slots kept for pcs and the journal besides the reserve: without them what is recorded has no names.
    static constexpr uint32_t kForNames = 3;

    // bytes: the bound; 0: none. depth: frames kept of a stack. False: no memory.
    [[nodiscard]] bool begin(uint64_t bytes, uint32_t depth) noexcept;

    [[nodiscard]] bool is_bounded() const noexcept { return limit_ != 0; }
    [[nodiscard]] uint32_t limit() const noexcept { return limit_; }
    // Slots that the file has.
    [[nodiscard]] uint32_t slots() const noexcept { return slots_; }
    // That could be used now.
    [[nodiscard]] uint32_t available() const noexcept { return limit_ - slots_ + free_; }
    [[nodiscard]] uint32_t count(format::SlotKind kind) const noexcept { return counts_[static_cast<uint32_t>(kind)]; }

    // How large the buffers of the last raw slot should be: the more threads there are for the ring, the smaller.
    [[nodiscard]] uint32_t raw_buffer_bytes() const noexcept;
    // The smallest that there are: an event with the deepest stack fits.
    [[nodiscard]] uint32_t smallest_raw_buffer_bytes() const noexcept { return smallest_raw_bytes_; }
    // The next raw slot is cut into the smallest buffers, or there is none.
    [[nodiscard]] bool has_large_raw_slots() noexcept;
    // The ring spends no more slots on raw buffers.
    [[nodiscard]] bool has_all_raw_slots() noexcept;

    // Slots kept for the next carried state, and what has to go on in any case.
    void set_reserve(uint32_t slots) noexcept { reserve_ = slots; }

    // There is no room for more than `slots`: the bound, from now on.
    void limit_to(uint32_t slots) noexcept;

    // A slot for `kind`: one that is free, or the next one behind the end of the file (== slots()). kNone: the bound
    // is reached.
    [[nodiscard]] uint32_t take(format::SlotKind kind, uint64_t sequence) noexcept;
    // take() was for nothing: the file could not be extended.
    void give_back(uint32_t slot) noexcept;
    void free(uint32_t slot) noexcept;

    void note_events(uint32_t slot, uint64_t first_stamp, uint64_t last_stamp) noexcept;
    void close(uint32_t slot) noexcept;
    [[nodiscard]] Use use(uint32_t slot) noexcept;
    // Before a fold up to `stamp` looks for events: marks the slots that it will free.
    void mark_folding(uint64_t stamp) noexcept;
    // Whether an event slot may hold events up to `stamp`.
    [[nodiscard]] bool may_have_events_before(uint32_t slot, uint64_t stamp) noexcept;

    // In a forked child.
    void unlock() noexcept { lock_.reset(); }
    void reset() noexcept;

private:
    // Of raw buffers. Threads that have none wait for each other; without room for chunks and the carried state nothing
    // could be recorded.
    [[nodiscard]] uint32_t most_raw_slots() const noexcept { return limit_ / 4; }
    [[nodiscard]] uint32_t slots_of_smallest() const noexcept;
    // Less than 64 MiB.
    [[nodiscard]] bool is_small() const noexcept { return limit_ < 256; }

    Lock lock_;
    Use* uses_ = nullptr;
    uint32_t capacity_ = 0; // of uses_
    uint32_t limit_ = 0;    // 0: unbounded
    uint32_t slots_ = 0;
    uint32_t free_ = 0;
    uint32_t reserve_ = 0;
    uint32_t smallest_raw_bytes_ = 0;
    uint32_t counts_[format::kSlotKindCount] = {};
};

} // namespace leak::preload
