#include "analyzer/replay/mapped_ranges.hpp"

#include <algorithm>
#include <iterator>
#include <limits>

namespace leak::analyzer {

namespace {

// The smallest page of the machines we know: a mapping is always a whole number of these.
constexpr uint64_t kPageBytes = 4096;
constexpr uint64_t kLast = std::numeric_limits<uint64_t>::max();

// One past the end of [address, address + bytes) in whole pages; damaged sizes may not wrap round.
[[nodiscard]] uint64_t end_of(uint64_t address, uint64_t bytes)
{
    if (bytes > kLast - address || address + bytes > kLast - kPageBytes) return kLast;
    return (address + bytes + kPageBytes - 1) / kPageBytes * kPageBytes;
}

[[nodiscard]] LiveBlock part_of(const LiveBlock& range, uint64_t begin, uint64_t end)
{
    LiveBlock part = range;
    part.address = begin;
    part.bytes = end - begin;
    return part;
}

[[nodiscard]] bool were_one(const LiveBlock& left, const LiveBlock& right)
{
    return left.address + left.bytes == right.address && left.allocated_ns == right.allocated_ns &&
           left.stack == right.stack && left.thread == right.thread && left.kind == right.kind &&
           left.inherited == right.inherited;
}

} // namespace

std::vector<LiveBlock> MappedRanges::map(const LiveBlock& range)
{
    std::vector<LiveBlock> replaced = unmap(range.address, range.bytes);
    LiveBlock whole = range;
    whole.bytes = std::min(range.bytes, kLast - range.address);
    if (whole.bytes != 0) insert(whole);
    return replaced;
}

std::vector<LiveBlock> MappedRanges::unmap(uint64_t address, uint64_t bytes)
{
    std::vector<LiveBlock> pieces;
    if (bytes == 0) return pieces;
    const uint64_t end = end_of(address, bytes);
    auto at = ranges_.upper_bound(address);
    if (at != ranges_.begin()) --at;
    while (at != ranges_.end() && at->first < end) {
        const LiveBlock range = at->second;
        const uint64_t range_end = range.address + range.bytes;
        if (range_end <= address) {
            ++at;
            continue;
        }
        at = ranges_.erase(at);
        bytes_ -= own_bytes(range);
        pieces.push_back(part_of(range, std::max(range.address, address), std::min(range_end, end)));
        if (range.address < address) insert(part_of(range, range.address, address));
        if (range_end > end) insert(part_of(range, end, range_end));
    }
    return pieces;
}

std::vector<LiveBlock> MappedRanges::restore(const std::vector<LiveBlock>& pieces)
{
    std::vector<LiveBlock> restored;
    for (const LiveBlock& piece : pieces) {
        if (overlaps(piece)) continue;
        insert(piece);
        restored.push_back(piece);
        auto at = ranges_.find(piece.address);
        if (std::next(at) != ranges_.end()) join(at);
        if (at != ranges_.begin()) join(std::prev(at));
    }
    return restored;
}

std::vector<LiveBlock> MappedRanges::all() const
{
    std::vector<LiveBlock> blocks;
    blocks.reserve(ranges_.size());
    for (const auto& [address, range] : ranges_) blocks.push_back(range);
    return blocks;
}

bool MappedRanges::overlaps(const LiveBlock& piece) const
{
    auto at = ranges_.lower_bound(piece.address);
    if (at != ranges_.end() && at->first < piece.address + piece.bytes) return true;
    if (at == ranges_.begin()) return false;
    --at;
    return at->second.address + at->second.bytes > piece.address;
}

void MappedRanges::insert(const LiveBlock& range)
{
    ranges_[range.address] = range;
    bytes_ += own_bytes(range);
}

// Makes `left` and the range behind it one again, if they were.
void MappedRanges::join(std::map<uint64_t, LiveBlock>::iterator left)
{
    const auto right = std::next(left);
    if (!were_one(left->second, right->second)) return;
    left->second.bytes += right->second.bytes;
    ranges_.erase(right);
}

} // namespace leak::analyzer
