// From code addresses to the pc ids of the event stream: one insert-only hash table.
//
// find() is lock-free and safe in any hook; the rest needs the state lock. The ids and what they mean are in the trace
// before an event can use them. Memory: 16 bytes a place in a table that is at most half full, and while it grows its
// smaller predecessors, which readers may still be in.
#pragma once

#include "format/layout.hpp"

#include <atomic>
#include <cstdint>

namespace leak::preload {

class PcTable {
public:
    // 0: not known yet.
    [[nodiscard]] uint32_t find(uint64_t pc) const noexcept;

    // As the table has it now; false when the pc is not in it.
    [[nodiscard]] bool look_up(uint64_t pc, uint32_t& id, uint32_t& module_index) const noexcept;

    // Gives `pc` the next id, replacing an entry that names another module. The caller has made sure of room in the
    // trace (has_room). False: no memory.
    [[nodiscard]] bool add(uint64_t pc, uint32_t module_index, uint32_t& id) noexcept;

    // Where the next ids are written in the trace.
    [[nodiscard]] bool has_room() const noexcept { return frame_ != nullptr && used_ < frame_->capacity; }
    void continue_in(format::PcsHeader& frame) noexcept;

    // After dlclose: whatever is mapped at these addresses next gets new ids.
    void forget_module(uint32_t module_index) noexcept;

    void reset() noexcept;

private:
    struct Place {
        std::atomic<uint64_t> pc; // 0: never used; kForgotten: nothing here any more
        uint32_t id;
        uint32_t module_index;
    };
    struct Table {
        uint64_t places; // a power of two
        Place at[];
    };
    static constexpr uint64_t kForgotten = 1;
    static constexpr uint64_t kFirstPlaces = 8192;

    [[nodiscard]] static uint64_t bytes_of(uint64_t places) noexcept { return sizeof(Table) + places * sizeof(Place); }
    [[nodiscard]] static uint64_t start_of(uint64_t pc, uint64_t places) noexcept;
    [[nodiscard]] static Place* place_of(Table& table, uint64_t pc) noexcept;
    [[nodiscard]] bool grow() noexcept;

    std::atomic<Table*> table_{nullptr};
    uint64_t filled_ = 0; // places ever used, forgotten ones too
    format::PcsHeader* frame_ = nullptr;
    uint32_t used_ = 0;    // entries of frame_
    uint32_t next_id_ = 1; // 0 names no pc
};

} // namespace leak::preload
