#include "preload/fold/fold_ranges.hpp"

namespace leak::preload {

namespace {

constexpr uint64_t kLast = UINT64_MAX;

[[nodiscard]] uint64_t end_of(uint64_t address, uint64_t bytes) noexcept
{
    if (bytes > kLast - address || address + bytes > kLast - kPageBytes) return kLast;
    return (address + bytes + kPageBytes - 1) / kPageBytes * kPageBytes;
}

[[nodiscard]] FoldBlock part_of(const FoldBlock& range, uint64_t begin, uint64_t end) noexcept
{
    FoldBlock part = range;
    part.address = begin;
    part.bytes = (end - begin) & FoldBlock::kMostBytes;
    return part;
}

[[nodiscard]] bool were_one(const FoldBlock& left, const FoldBlock& right) noexcept
{
    return left.address + left.bytes == right.address && left.stamp == right.stamp && left.stack == right.stack &&
           left.thread == right.thread && left.kind == right.kind;
}

} // namespace

size_t FoldRanges::first_behind(uint64_t address) const noexcept
{
    size_t low = 0;
    size_t high = ranges_.size();
    while (low < high) {
        const size_t middle = (low + high) / 2;
        if (ranges_[middle].address + ranges_[middle].bytes <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void FoldRanges::map(const FoldBlock& range, MappedArray<FoldBlock>& replaced) noexcept
{
    unmap(range.address, range.bytes, replaced);
    if (range.bytes != 0) insert(first_behind(range.address), range);
}

uint64_t FoldRanges::unmap(uint64_t address, uint64_t bytes, MappedArray<FoldBlock>& pieces) noexcept
{
    if (bytes == 0) return 0;
    const uint64_t end = end_of(address, bytes);
    uint64_t unknown = end - address;
    for (size_t at = first_behind(address); at < ranges_.size() && ranges_[at].address < end;) {
        const FoldBlock range = ranges_[at];
        const uint64_t range_end = range.address + range.bytes;
        const uint64_t from = range.address > address ? range.address : address;
        const uint64_t to = range_end < end ? range_end : end;
        ranges_.erase(at);
        bytes_ -= range.bytes;
        pieces.push_back(part_of(range, from, to));
        unknown -= to - from;
        if (range.address < address) insert(at++, part_of(range, range.address, address));
        if (range_end > end) insert(at++, part_of(range, end, range_end));
    }
    return unknown;
}

bool FoldRanges::restore(const FoldBlock& piece) noexcept
{
    const size_t at = first_behind(piece.address);
    if (at < ranges_.size() && ranges_[at].address < piece.address + piece.bytes) return false;
    insert(at, piece);
    join(at);
    if (at > 0) join(at - 1);
    return true;
}

void FoldRanges::insert(size_t at, const FoldBlock& range) noexcept
{
    ranges_.insert(at, range);
    bytes_ += range.bytes;
}

// Makes a range and the one behind it one again, if they were.
void FoldRanges::join(size_t left) noexcept
{
    if (left + 1 >= ranges_.size() || !were_one(ranges_[left], ranges_[left + 1])) return;
    ranges_[left].bytes = (ranges_[left].bytes + ranges_[left + 1].bytes) & FoldBlock::kMostBytes;
    ranges_.erase(left + 1);
}

} // namespace leak::preload
