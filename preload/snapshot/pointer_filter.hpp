// Whether a word may be a pointer that a snapshot keeps: it leads into memory where blocks were, or into data that
// can't be written (as those to virtual tables do), or to the start of a page of other anonymous memory, as those do
// who own a mapped range.
//
// In the copy alone. Most words fail one comparison; most others lie where the one before did.
#pragma once

#include "format/range_set.hpp"
#include "preload/block_regions.hpp"
#include "preload/mapped_array.hpp"
#include "preload/snapshot/areas.hpp"

namespace leak::preload {

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
        return !targets_.ranges().out_of_memory() && !wanted_.ranges().out_of_memory();
    }

    [[nodiscard]] bool keeps(uint64_t value) noexcept
    {
        return wanted_.contains(value) || (value % kPageBytes == 0 && targets_.contains(value));
    }

private:
    using RangeSet = format::RangeSet<MappedArray<format::AddressSpan>>;
    RangeSet targets_;
    RangeSet wanted_; // of them
};

} // namespace leak::preload
