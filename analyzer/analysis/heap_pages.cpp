#include "analyzer/analysis/heap_pages.hpp"

#include <algorithm>

namespace leak::analyzer {

namespace {

constexpr uint64_t kArenaState = 0x800;               // an arena's first heap begins with its state, of more bytes
constexpr uint64_t kMainHeap = 0;                     // its number: of all of the main arena
constexpr uint64_t kMainReach = uint64_t{1} << 40;    // of the main arena behind the program, far below mapped memory
constexpr uint64_t kMapThreshold = 128 * 1024;        // the least that is mapped one by one
constexpr uint64_t kAddressSpace = uint64_t{1} << 47; // a damaged trace may say anything
constexpr uint64_t kChunkHeader = 8;                  // before a block; the rest of the chunk's header is shared
constexpr uint64_t kLeastChunk = 32;

struct Chunk {
    uint64_t begin;
    uint64_t end;
    StackId stack;
};

[[nodiscard]] bool is_in_heap(const LiveBlock& block)
{
    return is_heap_allocation(block.kind) && block.kind != format::EventKind::custom_alloc && block.address != 0 &&
           block.blocks == 1 && !is_mapped_alone(block) && block.address < kAddressSpace && block.bytes < kAddressSpace;
}

[[nodiscard]] Chunk chunk_of(const LiveBlock& block)
{
    const uint64_t bytes = std::max(kLeastChunk, (block.bytes + kChunkHeader + 15) / 16 * 16);
    return {block.address - kChunkHeader, block.address - kChunkHeader + bytes, block.stack};
}

// Sorts the chunks, and leaves each what none before it has. They overlap where a release was not recorded, or has a
// stamp that is later than that of another thread's allocation in its place.
void arrange(std::vector<Chunk>& chunks)
{
    std::ranges::sort(chunks, {}, &Chunk::begin);
    uint64_t taken = 0;
    for (Chunk& chunk : chunks) {
        chunk.begin = std::max(chunk.begin, taken);
        taken = std::max(chunk.end, taken);
    }
    std::erase_if(chunks, [](const Chunk& chunk) { return chunk.begin >= chunk.end; });
}

// Adds a page on which `blocks` chunks lie that take `live` of its bytes.
void add_page(HeapPages& pages, std::span<const Chunk> chunks, uint64_t live)
{
    const uint64_t free = kPageBytes - std::min(live, kPageBytes);
    ++pages.pages;
    pages.free_between += free;
    if (live * 2 >= kPageBytes) return;
    ++pages.sparse_pages;
    pages.pinned_free_bytes += free;
    for (const Chunk& chunk : chunks) {
        StackPins& pins = pages.stacks[chunk.stack];
        pins.live_bytes += chunk.end - chunk.begin;
        ++pins.live_blocks;
        pins.pinned_free_bytes += free / chunks.size();
    }
}

// Calls visit(page, chunks on it, bytes of it that they take) for each page that chunks take in part, in order, and
// visit_full(page, how many) for pages behind one another that a chunk takes whole. Sorted chunks.
template <typename Visit, typename VisitFull>
void for_each_page(std::span<const Chunk> chunks, Visit&& visit, VisitFull&& visit_full)
{
    size_t first = 0; // chunk that reaches onto the page
    uint64_t page = 0;
    while (first < chunks.size()) {
        page = std::max(page, chunks[first].begin / kPageBytes);
        const uint64_t begin = page * kPageBytes, end = begin + kPageBytes;
        if (chunks[first].begin <= begin && chunks[first].end >= end) {
            const uint64_t behind = chunks[first].end / kPageBytes;
            visit_full(page, behind - page);
            page = behind;
            while (first < chunks.size() && chunks[first].end <= behind * kPageBytes) ++first;
            continue;
        }
        uint64_t live = 0;
        size_t last = first;
        for (; last < chunks.size() && chunks[last].begin < end; ++last)
            live += std::min(chunks[last].end, end) - std::max(chunks[last].begin, begin);
        visit(page, chunks.subspan(first, last - first), live);
        while (first < last && chunks[first].end <= end) ++first;
        ++page;
    }
}

} // namespace

bool is_mapped_alone(const LiveBlock& block)
{
    const uint64_t offset = block.address % kPageBytes;
    return block.bytes >= kMapThreshold && (offset == 0 || offset == 2 * kChunkHeader);
}

bool is_main_heap(uint64_t address, uint64_t program_end)
{
    return address >= program_end && address - program_end < kMainReach;
}

void HeapExtents::on_allocate(const LiveBlock& block)
{
    if (!is_in_heap(block)) return;
    const uint64_t number = heap_of(block.address);
    if (number != last_number_) {
        last_number_ = number;
        last_ = &heaps_[number];
    }
    last_->lowest = std::min(last_->lowest, block.address);
    last_->end = std::max(last_->end, block.address + block.bytes);
}

uint64_t HeapExtents::heap_of(uint64_t address) const
{
    return is_main_heap(address, program_end_) ? kMainHeap : address / kHeapBytes;
}

size_t HeapExtents::arenas() const
{
    return static_cast<size_t>(std::ranges::count_if(heaps_, [](const auto& heap) {
        return heap.first == kMainHeap || heap.second.lowest % kHeapBytes >= kArenaState;
    }));
}

HeapPages HeapExtents::pages_of(std::span<const LiveBlock> blocks) const
{
    std::vector<Chunk> chunks;
    for (const LiveBlock& block : blocks)
        if (is_in_heap(block)) chunks.push_back(chunk_of(block));
    arrange(chunks);
    HeapPages pages;
    std::unordered_map<uint64_t, HeapOfPages> used; // by number of the heap
    const auto part = [&](uint64_t, std::span<const Chunk> on_it, uint64_t live) {
        const uint64_t pinned_before = pages.pinned_free_bytes;
        add_page(pages, on_it, live);
        HeapOfPages& heap = used[heap_of(on_it.back().begin)];
        ++heap.pages;
        heap.live_bytes += live;
        heap.pinned_free_bytes += pages.pinned_free_bytes - pinned_before;
    };
    const auto full = [&](uint64_t page, uint64_t count) {
        pages.pages += count;
        HeapOfPages& heap = used[heap_of(page * kPageBytes)];
        heap.pages += count;
        heap.live_bytes += count * kPageBytes;
    };
    for_each_page(std::span<const Chunk>(chunks), part, full);
    for (const auto& [number, extent] : heaps_) {
        HeapOfPages heap = used[number];
        heap.address = extent.lowest;
        heap.is_main = number == kMainHeap;
        heap.bytes = extent.end - extent.lowest;
        const uint64_t all = (extent.end - 1) / kPageBytes - extent.lowest / kPageBytes + 1;
        const uint64_t empty = (all - std::min(all, heap.pages)) * kPageBytes;
        pages.empty_bytes += empty;
        if (!heap.is_main) pages.empty_bytes_of_arenas += empty;
        pages.heaps.push_back(heap);
    }
    return pages;
}

} // namespace leak::analyzer
