// Folds the oldest events of a full ring into the carried state, so that their slots can be used again.
//
// Used by whoever extends the file, one at a time: the writer, or without one a host thread under the growth lock. The
// state lies in memory of its own, made when the ring is full for the first time.
#pragma once

#include "format/carried.hpp"
#include "format/layout.hpp"
#include "preload/mapped_array.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

namespace leak::preload {

class FoldState;
class FoldInput;
struct Slot;

class Folder {
public:
    // fold(), if the ring is nearly full. False: there was nothing to do.
    bool fold_if_due() noexcept;

    // Folds. True: slots are free that were not before. False: the oldest slots are in use, this is called in the
    // middle of a fold, or the trace has failed.
    bool fold() noexcept;

    [[nodiscard]] bool is_folding() const noexcept { return is_folding_.load(std::memory_order_relaxed); }
    // The last fold could not begin for want of it.
    [[nodiscard]] bool lacks_memory() const noexcept { return lacks_memory_; }

    // In a forked child, when no hook is using it.
    void reset() noexcept;

private:
    struct Plan {
        uint32_t slots = 0; // 0: nothing can be folded
        uint64_t last_stamp = 0;
    };

    [[nodiscard]] bool prepare() noexcept;
    [[nodiscard]] uint32_t slots_of_state_after(uint32_t folded) const noexcept;
    [[nodiscard]] Plan plan() noexcept;
    [[nodiscard]] bool fold_up_to(const Plan& to_do) noexcept;
    [[nodiscard]] bool write_state(const Plan& to_do) noexcept;
    enum class Written { whole, no_room, no_memory };
    [[nodiscard]] Written try_to_write(const Plan& to_do) noexcept;
    [[nodiscard]] static Slot give_slot(void* folder) noexcept;
    static void free_states_but(uint64_t number) noexcept;
    static void free_folded() noexcept;
    void forget_streams() noexcept;
    [[nodiscard]] bool take_journal(int fd, uint64_t last_stamp) noexcept;
    void free_journal() noexcept;

    FoldState* state_ = nullptr;
    LastingArray<uint32_t> journal_slots_; // whose records the state has from now on
    std::atomic<bool> is_folding_{false};  // read by any thread
    bool lacks_memory_ = false;
    uint64_t number_ = 0;                           // of the carried state that holds
    uint64_t last_number_ = 0;                      // of the one that was begun last
    uint32_t carried_slots_ = 0;                    // of it
    uint64_t carried_bytes_ = 0;                    // written in them
    uint64_t growth_per_slot_ = format::kSlotBytes; // of the state, in bytes, for an event slot that was folded
};

} // namespace leak::preload
