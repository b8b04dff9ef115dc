// From code addresses to the pc ids of the event stream and the rules to unwind from there: one insert-only hash table.
//
// find() is lock-free and safe in any hook; the rest needs the state lock. The ids and what they mean are in the trace
// before an event can use them. Memory: 20 bytes a place in a table that is 3/8 to 3/4 full, so at most 54 bytes a pc.
#pragma once

#include "format/layout.hpp"
#include "preload/unwind_rule.hpp"

#include <atomic>
#include <bit>
#include <cstdint>

namespace leak::preload {

// What is known of a pc, in one word: a hook reads it at once.
class PcInfo {
public:
    PcInfo() noexcept = default; // of a pc that is not known where it is value-initialised
    PcInfo(uint32_t id, UnwindRule rule) noexcept : bits_(uint64_t{std::bit_cast<uint32_t>(rule)} << 32 | id) {}
    explicit PcInfo(uint64_t bits) noexcept : bits_(bits) {}

    [[nodiscard]] uint32_t id() const noexcept { return static_cast<uint32_t>(bits_); } // 0: the pc is not known yet
    [[nodiscard]] UnwindRule rule() const noexcept
    {
        return std::bit_cast<UnwindRule>(static_cast<uint32_t>(bits_ >> 32));
    }
    [[nodiscard]] uint64_t bits() const noexcept { return bits_; }

private:
    uint64_t bits_;
};

class PcTable {
public:
    [[nodiscard]] PcInfo find(uint64_t pc) const noexcept;

    // Several look-ups in a row. What is added meanwhile may not be found.
    class Reader;

    // As the table has it now; false when the pc is not in it.
    [[nodiscard]] bool look_up(uint64_t pc, PcInfo& info, uint32_t& module_index) const noexcept;

    // Gives `pc` the next id, replacing an entry that names another module. The caller has made sure of room in the
    // trace (has_room). Id 0: no memory.
    [[nodiscard]] PcInfo add(uint64_t pc, uint32_t module_index, UnwindRule rule) noexcept;

    // Where the next ids are written in the trace.
    [[nodiscard]] bool has_room() const noexcept { return frame_ != nullptr && used_ < frame_->capacity; }
    void continue_in(format::PcsHeader& frame) noexcept;

    // After dlclose: whatever is mapped at these addresses next gets new ids and new rules.
    void forget_module(uint32_t module_index) noexcept;

    // In a forked child.
    void reset() noexcept;

private:
    struct Place {
        std::atomic<uint64_t> pc;   // 0: never used; kForgotten: nothing here any more
        std::atomic<uint64_t> info; // PcInfo::bits()
    };
    static_assert(sizeof(Place) == 16);
    // Followed by the places and then, for each place, the index of its module, which only slow paths need.
    struct Table {
        uint64_t places; // a power of two
        uint64_t shift;  // 64 - log2(places)
        Place at[];
    };
    static constexpr uint64_t kForgotten = 1;
    static constexpr unsigned kFirstPlacesLog2 = 9;

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
    explicit Reader(const PcTable& table) noexcept : table_(table.table_.load(std::memory_order_acquire))
    {
        if (table_ != nullptr) shift_ = static_cast<uint32_t>(table_->shift);
    }
    // Whether there is a table to look in.
    [[nodiscard]] bool is_ready() const noexcept { return table_ != nullptr; }

    // Needs is_ready(); `pc` is not 0. Of a module that is being unloaded the info may be the one it had.
    [[nodiscard]] PcInfo find(uint64_t pc) const noexcept
    {
        const Place* place = table_->at + first_place(shift_, pc);
        // A place keeps its info for good, but in a table that was replaced, which turns into zeros.
        if (place->pc.load(std::memory_order_acquire) == pc) [[likely]]
            return PcInfo(place->info.load(std::memory_order_relaxed));
        return find_further(table_, pc);
    }

private:
    [[nodiscard, gnu::cold, gnu::noinline]] static PcInfo find_further(const Table* table, uint64_t pc) noexcept
    {
        for (uint64_t i = first_place(table->shift, pc);; i = (i + 1) & (table->places - 1)) {
            const Place& place = table->at[i];
            const uint64_t found = place.pc.load(std::memory_order_acquire);
            if (found == pc) return PcInfo(place.info.load(std::memory_order_relaxed));
            if (found == 0) return PcInfo{};
        }
    }

    const Table* table_;
    uint32_t shift_ = 0;
};

inline PcInfo PcTable::find(uint64_t pc) const noexcept
{
    const Reader reader(*this);
    return reader.is_ready() ? reader.find(pc) : PcInfo{};
}

} // namespace leak::preload
