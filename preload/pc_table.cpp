#include "preload/pc_table.hpp"

#include "preload/os.hpp"
#include "preload/own_memory.hpp"

#include <bit>

namespace leak::preload {

bool PcTable::look_up(uint64_t pc, PcInfo& info, uint32_t& module_index) const noexcept
{
    Table* table = table_.load(std::memory_order_acquire);
    if (table == nullptr) return false;
    const Place* place = place_of(*table, pc);
    if (place->pc.load(std::memory_order_relaxed) != pc) return false;
    info = PcInfo(place->info.load(std::memory_order_relaxed));
    module_index = module_of(*table, place);
    return true;
}

PcInfo PcTable::add(uint64_t pc, uint32_t module_index, UnwindRule rule) noexcept
{
    Table* table = table_.load(std::memory_order_relaxed);
    if (table == nullptr || (filled_ + 1) * 4 > table->places * 3) {
        if (!grow()) return PcInfo{};
        table = table_.load(std::memory_order_relaxed);
    }
    Place* place = place_of(*table, pc);
    if (place->pc.load(std::memory_order_relaxed) == pc) {
        place->pc.store(kForgotten, std::memory_order_release); // never change a place that readers may be in
        place = place_of(*table, pc);
    }
    auto* entries = reinterpret_cast<format::PcEntry*>(frame_ + 1);
    format::PcEntry& entry = entries[used_++];
    entry.module_index = module_index;
    std::atomic_ref(entry.address).store(pc, std::memory_order_release);

    const PcInfo info(next_id_++, rule);
    place->info.store(info.bits(), std::memory_order_relaxed);
    module_of(*table, place) = module_index;
    place->pc.store(pc, std::memory_order_release);
    ++filled_;
    return info;
}

PcTable::Place* PcTable::place_of(Table& table, uint64_t pc) noexcept
{
    for (uint64_t i = first_place(table.shift, pc);; i = (i + 1) & (table.places - 1)) {
        const uint64_t found = table.at[i].pc.load(std::memory_order_relaxed);
        if (found == pc || found == 0) return &table.at[i];
    }
}

bool PcTable::grow() noexcept
{
    Table* old = table_.load(std::memory_order_relaxed);
    const uint64_t places = old == nullptr ? uint64_t{1} << kFirstPlacesLog2 : old->places * 2;
    auto* table = static_cast<Table*>(map_own(bytes_of(places)));
    if (table == nullptr) return false;
    // All of it will be touched soon, here and there: a fault a page takes much longer.
    os::advise(table, bytes_of(places), MADV_POPULATE_WRITE);
    table->places = places;
    table->shift = static_cast<uint64_t>(std::countl_zero(places)) + 1;
    filled_ = 0;
    for (uint64_t i = 0; old != nullptr && i < old->places; ++i) {
        const uint64_t pc = old->at[i].pc.load(std::memory_order_relaxed);
        if (pc == 0 || pc == kForgotten) continue;
        Place* place = place_of(*table, pc);
        place->info.store(old->at[i].info.load(std::memory_order_relaxed), std::memory_order_relaxed);
        module_of(*table, place) = module_of(*old, &old->at[i]);
        place->pc.store(pc, std::memory_order_relaxed);
        ++filled_;
    }
    table_.store(table, std::memory_order_release);
    // Readers may still be in the old one: its pages go and its addresses stay, as places never used. The first page
    // has the number of places.
    if (old != nullptr)
        os::advise(reinterpret_cast<std::byte*>(old) + kPageBytes, bytes_of(old->places) - kPageBytes, MADV_DONTNEED);
    return true;
}

void PcTable::continue_in(format::PcsHeader& frame) noexcept
{
    frame_ = &frame;
    frame.first_id = next_id_;
    used_ = 0;
}

void PcTable::forget_module(uint32_t module_index) noexcept
{
    Table* table = table_.load(std::memory_order_relaxed);
    for (uint64_t i = 0; table != nullptr && i < table->places; ++i) {
        Place& place = table->at[i];
        if (place.pc.load(std::memory_order_relaxed) > kForgotten && module_of(*table, &place) == module_index)
            place.pc.store(kForgotten, std::memory_order_release);
    }
}

void PcTable::reset() noexcept
{
    Table* table = table_.load(std::memory_order_relaxed);
    if (table != nullptr) unmap_own(table, bytes_of(table->places));
    table_.store(nullptr, std::memory_order_relaxed);
    filled_ = 0;
    frame_ = nullptr;
    used_ = 0;
    next_id_ = 1;
}

} // namespace leak::preload
