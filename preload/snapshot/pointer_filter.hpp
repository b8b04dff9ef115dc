// Whether a word may be a pointer that a snapshot keeps: it leads into memory where blocks were, or into data that can't
// be written (as those to virtual tables do), or to the start of a page of other anonymous memory, as those do who own a
// mapped range.
//
// In the copy alone. Most words fail one comparison; most others lie where the one before did.
#pragma once

#include "preload/block_regions.hpp"
#include "preload/mapped_array.hpp"
#include "preload/snapshot/areas.hpp"

#include <algorithm>

namespace leak::preload {

// Ranges of addresses, added in ascending order.
class RangeSet {
public:
    void add(uint64_t begin, uint64_t end) noexcept
    {
        if (ranges_.empty()) all_.begin = begin;
        all_.end = end;
        if (!ranges_.empty() && ranges_.back().end == begin)
            ranges_.back().end = end;
        else
            ranges_.push_back({begin, end});
    }
    [[nodiscard]] bool out_of_memory() const noexcept { return ranges_.out_of_memory(); }
    [[nodiscard]] bool contains(uint64_t value) noexcept
    {
        if (!all_.has(value)) [[likely]]
            return false;
        if (gap_.has(value)) return false;
        if (last_.has(value)) return true;
        const Range* const after = std::upper_bound(ranges_.begin(), ranges_.end(), value,
                                                    [](uint64_t at, const Range& range) { return at < range.begin; });
        const Range& before = *(after - 1);
        if (before.has(value)) {
            last_ = before;
            return true;
        }
        gap_ = {before.end, after->begin};
        return false;
    }

private:
    struct Range {
        uint64_t begin;
        uint64_t end;
        [[nodiscard]] bool has(uint64_t value) const noexcept { return value - begin < end - begin; }
    };
    MappedArray<Range> ranges_;
    Range all_{0, 0};  // from the first to the last
    Range last_{0, 0}; // that held a value
    Range gap_{0, 0};  // between two, where a value was
};

class PointerFilter {
public:
    // False: no memory.
    [[nodiscard]] bool begin(const MappedArray<AreaPiece>& pieces, const BlockRegions& regions) noexcept
    {
        for (const AreaPiece& piece : pieces) {
            if (!piece.is_target()) continue;
            targets_.add(piece.begin, piece.end);
            if (!piece.is(format::AreaKind::anonymous)) {
                wanted_.add(piece.begin, piece.end);
                continue;
            }
            for (uint64_t at = piece.begin; at < piece.end;) {
                const uint64_t region_end = (at / BlockRegions::kRegionBytes + 1) * BlockRegions::kRegionBytes;
                const uint64_t end = region_end < piece.end ? region_end : piece.end;
                if (regions.held_block(at)) wanted_.add(at, end);
                at = end;
            }
        }
        return !targets_.out_of_memory() && !wanted_.out_of_memory();
    }

    [[nodiscard]] bool keeps(uint64_t value) noexcept
    {
        return wanted_.contains(value) || (value % kPageBytes == 0 && targets_.contains(value));
    }

private:
    RangeSet targets_;
    RangeSet wanted_; // of them
};

} // namespace leak::preload
