#include "analyzer/analysis/free_below.hpp"

#include "analyzer/analysis/heap_pages.hpp"
#include "analyzer/analysis/page_use.hpp"

#include <algorithm>
#include <vector>

namespace leak::analyzer {

namespace {

[[nodiscard]] bool is_in_heap(const LiveBlock& block)
{
    return block.kind != format::EventKind::custom_alloc && block.blocks == 1 && !is_mapped_alone(block);
}

// Where the heap that holds the address begins, at the earliest.
[[nodiscard]] uint64_t heap_begin(const MemoryView* memory, uint64_t program_end, uint64_t address)
{
    if (memory != nullptr) {
        const format::SnapshotArea* area = memory->image.area_at(address);
        return area == nullptr ? address : area->address;
    }
    return is_main_heap(address, program_end) ? program_end : address / kHeapBytes * kHeapBytes;
}

[[nodiscard]] uint64_t free_bytes(const MemoryView* memory, AddressRange range)
{
    if (memory != nullptr) return page_use(*memory, range).touched * kPageBytes;
    const uint64_t begin = (range.begin + kPageBytes - 1) / kPageBytes, end = range.end / kPageBytes;
    return begin < end ? (end - begin) * kPageBytes : 0;
}

} // namespace

void for_free_below(std::span<const LiveBlock> blocks, const MemoryView* memory, uint64_t program_end,
                    const std::function<bool(size_t)>& is_wanted, const std::function<void(size_t, uint64_t)>& visit)
{
    struct Place {
        uint64_t address;
        size_t index;
    };
    std::vector<Place> places;
    places.reserve(blocks.size());
    for (size_t i = 0; i < blocks.size(); ++i)
        if (is_in_heap(blocks[i])) places.push_back({blocks[i].address, i});
    std::ranges::sort(places, {}, &Place::address);
    uint64_t end = 0; // of the block below
    for (const Place& place : places) {
        const LiveBlock& block = blocks[place.index];
        if (is_wanted(place.index) && block.address > end) {
            const uint64_t begin = std::max(end, heap_begin(memory, program_end, block.address));
            visit(place.index, free_bytes(memory, {begin, block.address}));
        }
        end = std::max(end, block.address + block.bytes);
    }
}

} // namespace leak::analyzer
