#include "preload/pc_table.hpp"

#include "preload/os.hpp"

namespace leak::preload {

// Fibonacci hashing (Knuth, TAOCP 3, 6.4): return addresses differ in their low bits.
uint64_t PcTable::start_of(uint64_t pc, uint64_t places) noexcept
{
    return pc * 0x9e3779b97f4a7c15u >> 20 & (places - 1);
}

// The place of `pc`, or the unused one where it would go.
PcTable::Place* PcTable::place_of(Table& table, uint64_t pc) noexcept
{
    for (uint64_t i = start_of(pc, table.places);; i = (i + 1) & (table.places - 1)) {
        // Acquire: pairs with the release in add(), so that the id of a pc found is the one stored before it.
        const uint64_t found = table.at[i].pc.load(std::memory_order_acquire);
        if (found == pc || found == 0) return &table.at[i];
    }
}

uint32_t PcTable::find(uint64_t pc) const noexcept
{
    Table* table = table_.load(std::memory_order_acquire);
    if (table == nullptr) return 0;
    const Place* place = place_of(*table, pc);
    return place->pc.load(std::memory_order_relaxed) == pc ? place->id : 0;
}

bool PcTable::look_up(uint64_t pc, uint32_t& id, uint32_t& module_index) const noexcept
{
    Table* table = table_.load(std::memory_order_acquire);
    if (table == nullptr) return false;
    const Place* place = place_of(*table, pc);
    if (place->pc.load(std::memory_order_relaxed) != pc) return false;
    id = place->id;
    module_index = place->module_index;
    return true;
}

bool PcTable::add(uint64_t pc, uint32_t module_index, uint32_t& id) noexcept
{
    Table* table = table_.load(std::memory_order_relaxed);
    if (table == nullptr || (filled_ + 1) * 2 > table->places) {
        if (!grow()) return false;
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

    id = next_id_++;
    place->id = id;
    place->module_index = module_index;
    place->pc.store(pc, std::memory_order_release);
    ++filled_;
    return true;
}

bool PcTable::grow() noexcept
{
    Table* old = table_.load(std::memory_order_relaxed);
    const uint64_t places = old == nullptr ? kFirstPlaces : old->places * 2;
    auto* table = static_cast<Table*>(os::map_memory(bytes_of(places)));
    if (table == nullptr) return false;
    table->places = places;
    filled_ = 0;
    for (uint64_t i = 0; old != nullptr && i < old->places; ++i) {
        const uint64_t pc = old->at[i].pc.load(std::memory_order_relaxed);
        if (pc == 0 || pc == kForgotten) continue;
        Place* place = place_of(*table, pc);
        place->id = old->at[i].id;
        place->module_index = old->at[i].module_index;
        place->pc.store(pc, std::memory_order_relaxed);
        ++filled_;
    }
    table_.store(table, std::memory_order_release);
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
        if (place.pc.load(std::memory_order_relaxed) > kForgotten && place.module_index == module_index)
            place.pc.store(kForgotten, std::memory_order_release);
    }
}

void PcTable::reset() noexcept
{
    Table* table = table_.load(std::memory_order_relaxed);
    if (table != nullptr) os::unmap(table, bytes_of(table->places));
    table_.store(nullptr, std::memory_order_relaxed);
    filled_ = 0;
    frame_ = nullptr;
    used_ = 0;
    next_id_ = 1;
}

} // namespace leak::preload
