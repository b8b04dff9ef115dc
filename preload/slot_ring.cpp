#include "preload/slot_ring.hpp"

#include "format/event_rows.hpp"
#include "preload/os.hpp"
#include "preload/own_memory.hpp"

namespace leak::preload {

using format::SlotKind;

bool SlotRing::begin(uint64_t bytes, uint32_t depth) noexcept
{
    limit_ = static_cast<uint32_t>(bytes / format::kSlotBytes);
    slots_ = free_ = 0;
    reserve_ = 2;
    // The first buffer of a slot is shorter by the slot's header.
    smallest_raw_bytes_ =
        static_cast<uint32_t>(format::align8(sizeof(format::SlotHeader) + format::RowWriter::least_bytes(depth)));
    for (uint32_t& count : counts_) count = 0;
    if (limit_ == 0) return true;
    capacity_ = limit_;
    uses_ = static_cast<Use*>(map_own(capacity_ * sizeof(Use)));
    return uses_ != nullptr;
}

// The last raw slots are cut into the smallest buffers, so that kManyThreads can have one each; in a small ring, which
// has no room for so many, three of eight, and the second one of all is among them, for threads that hardly begin.
uint32_t SlotRing::slots_of_smallest() const noexcept
{
    constexpr uint32_t kManyThreads = 2000;
    const uint32_t many = kManyThreads * smallest_raw_bytes_ / format::kSlotBytes + 1;
    const uint32_t most = most_raw_slots() * 3 / 8;
    return many < most ? many : most;
}

// The other slots: a quarter each for buffers of 64, 16, 8 and 4 KiB.
uint32_t SlotRing::raw_buffer_bytes() const noexcept
{
    constexpr uint32_t kSizes[] = {format::kRawBufferBytes, format::kRawBufferBytes / 4, format::kRawBufferBytes / 8,
                                   format::kRawBufferBytes / 16};
    if (limit_ == 0) return format::kRawBufferBytes;
    uint32_t slots = count(SlotKind::raw_events);
    if (is_small() && slots >= 2 && slots-- == 2) return smallest_raw_bytes_;
    const uint32_t others = most_raw_slots() - slots_of_smallest();
    uint32_t quarters = 0;
    for (const uint32_t bytes : kSizes)
        if (slots <= others * ++quarters / 4 && bytes > smallest_raw_bytes_) return bytes;
    return smallest_raw_bytes_;
}

bool SlotRing::has_large_raw_slots() noexcept
{
    if (limit_ == 0) return false;
    const Locked locked(lock_);
    return count(SlotKind::raw_events) >= most_raw_slots() - slots_of_smallest() + (is_small() ? 1 : 0);
}

bool SlotRing::has_all_raw_slots() noexcept
{
    if (limit_ == 0) return false;
    const Locked locked(lock_);
    return count(SlotKind::raw_events) >= most_raw_slots();
}

uint32_t SlotRing::take(SlotKind kind, uint64_t sequence) noexcept
{
    if (limit_ == 0) return slots_++;
    const Locked locked(lock_);
    const bool has_names = kind == SlotKind::pcs || kind == SlotKind::journal || kind == SlotKind::carried;
    if (kind == SlotKind::raw_events && count(kind) >= most_raw_slots()) return kNone;
    const uint32_t kept = has_names || kind == SlotKind::start ? 0 : reserve_ + kForNames;
    if (available() <= kept) return kNone;
    uint32_t slot = slots_;
    if (free_ > 0) {
        for (slot = 0; uses_[slot].kind != SlotKind::free;) ++slot;
        --free_;
    } else {
        ++slots_;
    }
    uses_[slot] = {kind, false, false, sequence, UINT64_MAX, 0};
    ++counts_[static_cast<uint32_t>(kind)];
    return slot;
}

void SlotRing::limit_to(uint32_t slots) noexcept
{
    const Locked locked(lock_);
    if (limit_ == 0 || slots >= limit_ || slots < slots_) return;
    limit_ = slots;
    // The first fold has to find room for its state, and no fold needs more than a quarter.
    constexpr uint32_t kLeast = 4;
    if (reserve_ < kLeast) reserve_ = kLeast;
    if (reserve_ > limit_ / 4) reserve_ = limit_ / 4;
}

void SlotRing::give_back(uint32_t slot) noexcept
{
    if (limit_ != 0) free(slot);
    if (slot + 1 != slots_) return;
    --slots_;
    if (limit_ != 0) --free_;
}

void SlotRing::free(uint32_t slot) noexcept
{
    const Locked locked(lock_);
    --counts_[static_cast<uint32_t>(uses_[slot].kind)];
    uses_[slot].kind = SlotKind::free;
    ++free_;
}

void SlotRing::note_events(uint32_t slot, uint64_t first_stamp, uint64_t last_stamp) noexcept
{
    if (limit_ == 0) return;
    const Locked locked(lock_);
    Use& use = uses_[slot];
    if (first_stamp < use.first_stamp) use.first_stamp = first_stamp;
    if (last_stamp > use.last_stamp) use.last_stamp = last_stamp;
}

void SlotRing::close(uint32_t slot) noexcept
{
    if (limit_ == 0) return;
    const Locked locked(lock_);
    uses_[slot].is_closed = true;
}

SlotRing::Use SlotRing::use(uint32_t slot) noexcept
{
    const Locked locked(lock_);
    return uses_[slot];
}

void SlotRing::mark_folding(uint64_t stamp) noexcept
{
    const Locked locked(lock_);
    for (uint32_t i = 0; i < slots_; ++i)
        uses_[i].is_folding = uses_[i].kind == SlotKind::events && uses_[i].is_closed && uses_[i].last_stamp <= stamp;
}

bool SlotRing::may_have_events_before(uint32_t slot, uint64_t stamp) noexcept
{
    const Use found = use(slot);
    return found.kind == SlotKind::events && found.first_stamp <= stamp;
}

void SlotRing::reset() noexcept
{
    if (uses_ != nullptr) unmap_own(uses_, capacity_ * sizeof(Use));
    uses_ = nullptr;
    limit_ = capacity_ = slots_ = free_ = 0;
}

} // namespace leak::preload
