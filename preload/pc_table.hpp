// From code addresses to the pc ids of the event stream and the rules to unwind from there: one insert-only hash table.
//
// find() is lock-free and safe in any hook; the rest needs the state lock. The ids and what they mean are in the trace
// before an event can use them. Memory: 20 bytes a place in a table that is 3/8 to 3/4 full, so at most 54 bytes a pc.
#pragma once

#include "format/layout.hpp"
#include "preload/unwind_rule.hpp"

#include <atomic>
#include <cstdint>

namespace leak::preload {

struct alignas(8) PcInfo {
    uint32_t id; // 0: the pc is not known yet
    UnwindRule rule;
};

class PcTable {
public:
    [[nodiscard]] PcInfo find(uint64_t pc) const noexcept;

    // Several look-ups in a row. What is added meanwhile may not be found.
    class Reader;

    // As the table has it now; false when the pc is not in it.
    [[nodiscard]] bool look_up(uint64_t pc, PcInfo& info, uint32_t& module_index) const noexcept;

    // Gives `pc` the next id, replacing an entry that names another module. The caller has made sure of room in the
    // trace (has_room). info.rule goes in, info.id comes out. False: no memory.
    [[nodiscard]] bool add(uint64_t pc, uint32_t module_index, PcInfo& info) noexcept;

    // Where the next ids are written in the trace.
    [[nodiscard]] bool has_room() const noexcept { return frame_ != nullptr && used_ < frame_->capacity; }
    void continue_in(format::PcsHeader& frame) noexcept;

    // After dlclose: whatever is mapped at these addresses next gets new ids and new rules.
    void forget_module(uint32_t module_index) noexcept;

    // In a forked child. leave_in_place: an interrupted hook may still read the table.
    void reset(bool leave_in_place) noexcept;

private:
    struct Place {
        std::atomic<uint64_t> pc; // 0: never used; kForgotten: nothing here any more
        std::atomic<PcInfo> info;
    };
    static_assert(sizeof(Place) == 16 && std::atomic<PcInfo>::is_always_lock_free);
    // Followed by the places and then, for each place, the index of its module, which only slow paths need.
    struct Table {
        uint64_t places; // a power of two
        uint64_t shift;  // 64 - log2(places)
        Place at[];
    };
    static constexpr uint64_t kForgotten = 1;
    static constexpr unsigned kFirstPlacesLog2 = 13;

    [[nodiscard]] static uint64_t bytes_of(uint64_t places) noexcept
    {
        return sizeof(Table) + places * (sizeof(Place) + sizeof(uint32_t));
    }
    [[nodiscard]] static uint32_t& module_of(Table& table, const Place* place) noexcept
    {
        return reinterpret_cast<uint32_t*>(table.at + table.places)[place - table.at];
    }
    // Fibonacci hashing (Knuth, TAOCP 3, 6.4): return addresses differ in their low bits.
    [[nodiscard]] static uint64_t first_place(uint64_t shift, uint64_t pc) noexcept
    {
        return pc * 0x9e3779b97f4a7c15u >> shift;
    }
    // The place of `pc`, or the unused one where it would go. Under the state lock.
    [[nodiscard]] static Place* place_of(Table& table, uint64_t pc) noexcept;
    [[nodiscard]] bool grow() noexcept;

    std::atomic<Table*> table_{nullptr};
    uint64_t filled_ = 0; // places ever used, forgotten ones too
    format::PcsHeader* frame_ = nullptr;
    uint32_t used_ = 0;    // entries of frame_
    uint32_t next_id_ = 1; // 0 names no pc
};

class PcTable::Reader {
public:
    explicit Reader(const PcTable& table) noexcept
    {
        Table* now = table.table_.load(std::memory_order_acquire);
        if (now == nullptr) return;
        places_ = now->at;
        shift_ = now->shift;
        mask_ = now->places - 1;
    }
    // `pc` is not 0. Of a module that is being unloaded the info may be the one it had.
    [[nodiscard]] PcInfo find(uint64_t pc) const noexcept
    {
        if (places_ == nullptr) return {};
        for (uint64_t i = first_place(shift_, pc);; i = (i + 1) & mask_) {
            const uint64_t found = places_[i].pc.load(std::memory_order_acquire);
            // A place keeps its info for good, but in a table that was replaced, which turns into zeros.
            if (found == pc) [[likely]]
                return places_[i].info.load(std::memory_order_relaxed);
            if (found == 0) return {};
        }
    }

private:
    Place* places_ = nullptr;
    uint64_t shift_ = 0;
    uint64_t mask_ = 0;
};

inline PcInfo PcTable::find(uint64_t pc) const noexcept
{
    return Reader(*this).find(pc);
}

} // namespace leak::preload
