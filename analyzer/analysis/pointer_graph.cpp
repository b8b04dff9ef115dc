#include "analyzer/analysis/pointer_graph.hpp"

#include <algorithm>
#include <bit>

namespace leak::analyzer {

using format::AreaKind;
using format::EventKind;
using format::SnapshotArea;
using format::SnapshotWord;

namespace {

constexpr uint64_t kRegionGap = uint64_t{16} << 20; // blocks further from each other lie in different regions
constexpr unsigned kPageShift = 12;

// What new[] keeps before the elements (Itanium C++ ABI, 2.7): a count of 8 bytes, filled up to their alignment.
[[nodiscard]] bool is_behind_count(uint64_t offset, EventKind kind)
{
    constexpr uint64_t kCountBytes = 8;
    return offset == kCountBytes
               ? kind == EventKind::new_array || kind == EventKind::new_array_aligned
               : kind == EventKind::new_array_aligned && offset > 0 && offset <= 4096 && std::has_single_bit(offset);
}

} // namespace

PointerGraph::PointerGraph(const MemoryView& memory, const AllocatorMemory& allocator,
                           std::function<bool(StackId)> makes_old_strings)
    : memory_(memory), makes_old_strings_(std::move(makes_old_strings))
{
    index_blocks();
    targets_.reserve(words().size());
    for (const SnapshotWord& word : words()) targets_.push_back(block_at(word.value));
    find_words_of_blocks();
    find_roots(allocator);
}

void PointerGraph::index_blocks()
{
    for (uint32_t i = 0; i < memory_.blocks.size(); ++i) {
        const LiveBlock& block = memory_.blocks[i];
        const uint64_t bytes = std::max<uint64_t>(block.bytes, 1); // malloc(0) has an address of its own
        if (block.blocks != 1 || block.address + bytes < block.address) continue;
        blocks_.push_back({.begin = block.address, .end = block.address + bytes, .live = i});
    }
    std::ranges::sort(blocks_, [](const GraphBlock& a, const GraphBlock& b) {
        return a.begin != b.begin ? a.begin < b.begin : a.end > b.end;
    });
    BlockNumber first = 0;
    for (BlockNumber i = 0; i < blocks_.size(); ++i) {
        BlockNumber around = i == 0 ? kNoBlock : i - 1;
        while (around != kNoBlock && blocks_[around].end < blocks_[i].end) around = blocks_[around].around;
        blocks_[i].around = around;
        if (around != kNoBlock) blocks_[around].has_inner = true;
        if (i > 0 && blocks_[i].begin - blocks_[i - 1].begin > kRegionGap && around == kNoBlock) {
            add_region(first, i);
            first = i;
        }
    }
    if (first < blocks_.size()) add_region(first, static_cast<BlockNumber>(blocks_.size()));
}

// An entry for each page, or for more where blocks are few, so that there are not many more entries than blocks.
void PointerGraph::add_region(BlockNumber first, BlockNumber last)
{
    Region region{.begin = blocks_[first].begin, .end = 0, .shift = kPageShift, .entries = entries_.size()};
    for (BlockNumber i = first; i < last; ++i) region.end = std::max(region.end, blocks_[i].end);
    while ((region.end - region.begin) >> region.shift > 2 * uint64_t{last - first} + 1024) ++region.shift;
    const uint64_t count = ((region.end - 1) >> region.shift) - (region.begin >> region.shift) + 1;
    // For each stretch of addresses: the last block that begins before its end.
    BlockNumber at = first;
    for (uint64_t i = 0; i < count; ++i) {
        const uint64_t end = ((region.begin >> region.shift) + i + 1) << region.shift;
        while (at + 1 < last && blocks_[at + 1].begin < end) ++at;
        entries_.push_back(at);
    }
    regions_.push_back(region);
}

const PointerGraph::Region* PointerGraph::region_at(uint64_t address) const
{
    const auto holds = [&](const Region& region) { return address >= region.begin && address < region.end; };
    if (last_region_ < regions_.size() && holds(regions_[last_region_])) return &regions_[last_region_];
    const auto behind = std::ranges::upper_bound(regions_, address, {}, &Region::begin);
    if (behind == regions_.begin() || !holds(*std::prev(behind))) return nullptr;
    last_region_ = static_cast<size_t>(std::prev(behind) - regions_.begin());
    return &regions_[last_region_];
}

BlockNumber PointerGraph::block_at(uint64_t address) const
{
    const Region* region = region_at(address);
    if (region == nullptr) return kNoBlock;
    const uint64_t stretch = (address >> region->shift) - (region->begin >> region->shift);
    const BlockNumber last = entries_[region->entries + stretch];
    const BlockNumber from = stretch == 0 ? 0 : entries_[region->entries + stretch - 1];
    const auto begin = blocks_.begin() + from, end = blocks_.begin() + last + 1;
    const auto behind = std::upper_bound(begin, end, address,
                                         [](uint64_t value, const GraphBlock& block) { return value < block.begin; });
    if (behind == begin) return kNoBlock;
    auto block = static_cast<BlockNumber>(behind - blocks_.begin() - 1);
    while (block != kNoBlock && address >= blocks_[block].end) block = blocks_[block].around;
    return block;
}

BlockNumber PointerGraph::find(const LiveBlock& block) const
{
    BlockNumber at = block_at(block.address);
    while (at != kNoBlock && (blocks_[at].begin != block.address || live(at).stamp != block.stamp))
        at = blocks_[at].around;
    return at;
}

void PointerGraph::find_words_of_blocks()
{
    const auto number_at = [&](uint64_t address, uint32_t from) {
        const auto at = std::lower_bound(words().begin() + from, words().end(), address,
                                         [](const SnapshotWord& word, uint64_t value) { return word.address < value; });
        return static_cast<uint32_t>(at - words().begin());
    };
    uint32_t at = 0;
    for (GraphBlock& block : blocks_) {
        // Sparse words are passed one by one, many at once.
        while (at < words().size() && words()[at].address < block.begin) ++at;
        block.words_begin = at;
        uint32_t end = at;
        if (block.end - block.begin > 4096)
            end = number_at(block.end - sizeof(uint64_t) + 1, at); // whole words
        else
            while (end < words().size() && words()[end].address + sizeof(uint64_t) <= block.end) ++end;
        block.words_end = end;
    }
}

// A chunk of glibc's begins 16 bytes before its block, within the last 8 bytes of the block before it: a pointer of its
// lists to a free chunk looks like one into that block.
bool PointerGraph::is_next_chunk(uint64_t value, BlockNumber block) const
{
    constexpr uint64_t kHeader = 8, kLeast = 32;
    const uint64_t bytes = std::max(kLeast, (live(block).bytes + kHeader + 15) / 16 * 16);
    return value - blocks_[block].begin == bytes - 2 * kHeader;
}

void PointerGraph::find_roots(const AllocatorMemory& allocator)
{
    const std::vector<AddressRange>& not_roots = allocator.ranges;
    std::vector<bool> is_in_block(words().size());
    for (const GraphBlock& block : blocks_)
        std::fill(is_in_block.begin() + block.words_begin, is_in_block.begin() + block.words_end, true);
    const auto is_registered = [&](uint64_t address) {
        return std::ranges::any_of(memory_.image.registered_roots, [&](const AddressRange& range) {
            return address >= range.begin && address < range.end;
        });
    };
    auto area = memory_.image.areas.begin();
    auto left_out = not_roots.begin();
    for (uint32_t i = 0; i < words().size(); ++i) {
        if (targets_[i] == kNoBlock || is_in_block[i]) continue;
        const uint64_t address = words()[i].address;
        while (address >= area->address + area->bytes) ++area;
        while (left_out != not_roots.end() && left_out->end <= address) ++left_out;
        const bool is_left_out = area->kind == AreaKind::anonymous && left_out != not_roots.end() &&
                                 left_out->begin <= address && !is_registered(address);
        const bool is_of_lists =
            allocator.is_glibc && area->kind == AreaKind::module_data && is_next_chunk(words()[i].value, targets_[i]);
        if (!is_left_out && !is_of_lists) root_words_.push_back(i);
    }
    for (const ThreadRegisters& thread : memory_.image.registers)
        for (const uint64_t value : thread.values)
            if (block_at(value) != kNoBlock) root_values_.push_back(value);
}

bool PointerGraph::points_to_constants(uint64_t address) const
{
    const auto at = std::ranges::lower_bound(words(), address, {}, &SnapshotWord::address);
    if (at == words().end() || at->address != address) return false;
    const SnapshotArea* area = memory_.image.area_at(at->value);
    return area != nullptr && area->kind == AreaKind::read_only;
}

bool PointerGraph::is_to_start(uint64_t value, BlockNumber block) const
{
    const uint64_t offset = value - blocks_[block].begin;
    if (offset == 0 || is_behind_count(offset, live(block).kind)) return true;
    constexpr uint64_t kStringHeader = 24; // length, capacity, and how many share it
    if (offset == kStringHeader && makes_old_strings_ && makes_old_strings_(live(block).stack)) return true;
    return offset % sizeof(uint64_t) == 0 && points_to_constants(value) && points_to_constants(blocks_[block].begin);
}

} // namespace leak::analyzer
