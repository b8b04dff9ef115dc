#include "preload/slot_ring.hpp"

#include "format/event_rows.hpp"
#include "preload/os.hpp"
#include "preload/own_memory.hpp"

namespace leak::preload {

using format::SlotKind;

bool SlotRing::begin(uint64_t bytes) noexcept
{
    limit_ = static_cast<uint32_t>(bytes / format::kSlotBytes);
    slots_ = free_ = 0;
    reserve_ = 2;
    for (uint32_t& count : counts_) count = 0;
    if (limit_ == 0) return true;
    capacity_ = limit_;
    uses_ = static_cast<Use*>(map_own(capacity_ * sizeof(Use)));
    return uses_ != nullptr;
}

uint32_t SlotRing::raw_buffer_bytes() const noexcept
{
    // The smallest holds an event with the deepest stack.
    constexpr uint32_t kSmall = format::kRawBufferBytes / 4;
    constexpr uint32_t kSmallest = format::kRawBufferBytes / 8;
    static_assert(sizeof(format::RawBufferHeader) + format::kWideRowBytes + format::kMaxStackDepth * sizeof(uint32_t) <
                  kSmallest - 512);
    const uint32_t slots = count(SlotKind::raw_events);
    if (limit_ == 0 || slots <= limit_ / 16) return format::kRawBufferBytes;
    return slots <= limit_ / 8 ? kSmall : kSmallest;
}

uint32_t SlotRing::take(SlotKind kind, uint64_t sequence) noexcept
{
    if (limit_ == 0) return slots_++;
    const Locked locked(lock_);
    const bool has_names = kind == SlotKind::pcs || kind == SlotKind::journal || kind == SlotKind::carried;
    // Threads that have no buffer lose events; without room for chunks and the carried state all would.
    if (kind == SlotKind::raw_events && count(kind) >= limit_ / 4) return kNone;
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
