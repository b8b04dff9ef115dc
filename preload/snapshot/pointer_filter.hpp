// Whether a word may be a pointer that a snapshot keeps: it leads into memory where blocks were, or to the start of a
// range that was mapped, as those do who own one, or lies itself where blocks were and leads into data that can't be
// written, as those to virtual tables do: by these an object in a block is known.
//
// In the copy alone. Most words fail one comparison; most others lie where the one before did.
#pragma once

#include "format/range_set.hpp"
#include "preload/block_regions.hpp"
#include "preload/mapped_array.hpp"
#include "preload/mapping_starts.hpp"
#include "preload/snapshot/areas.hpp"

namespace leak::preload {

class PointerFilter {
public:
    PointerFilter(const BlockRegions& regions, const MappingStarts& starts) noexcept
        : regions_(regions), starts_(starts)
    {
    }

    // False: no memory.
    [[nodiscard]] bool begin(const MappedArray<AreaPiece>& pieces) noexcept
    {
        for (const AreaPiece& piece : pieces) {
            if (!piece.is_target()) continue;
            targets_.add(piece.begin, piece.end);
            if (!piece.is(format::AreaKind::anonymous)) {
                with_constants_.add(piece.begin, piece.end);
                continue;
            }
            for (uint64_t at = piece.begin; at < piece.end;) {
                const uint64_t region_end = (at / BlockRegions::kRegionBytes + 1) * BlockRegions::kRegionBytes;
                const uint64_t end = region_end < piece.end ? region_end : piece.end;
                if (regions_.held_block(at)) {
                    blocks_.add(at, end);
                    with_constants_.add(at, end);
                }
                at = end;
            }
        }
        return !targets_.ranges().out_of_memory() && !blocks_.ranges().out_of_memory() &&
               !with_constants_.ranges().out_of_memory();
    }

    // The words asked for from now on lie at `address` and behind it. Returns the address up to which they may.
    [[nodiscard]] uint64_t enter(uint64_t address) noexcept
    {
        wanted_ = regions_.held_block(address) ? &with_constants_ : &blocks_;
        return (address / BlockRegions::kRegionBytes + 1) * BlockRegions::kRegionBytes;
    }
    [[nodiscard]] bool keeps(uint64_t value) noexcept
    {
        // One branch for most words, without a comparison that is as likely to be true as not.
        const bool may_begin = (value % kPageBytes == 0) & (value != 0);
        const bool may_be_wanted = (wanted_ != &blocks_) | regions_.held_block(value);
        if (!(may_begin | may_be_wanted)) [[likely]]
            return false;
        return (may_be_wanted && wanted_->contains(value)) ||
               (may_begin && targets_.contains(value) && starts_.may_begin_at(value));
    }

private:
    using RangeSet = format::RangeSet<MappedArray<format::AddressSpan>>;
    const BlockRegions& regions_;
    const MappingStarts& starts_;
    RangeSet targets_;
    RangeSet blocks_;         // of them, where blocks were
    RangeSet with_constants_; // and those that can't be written
    RangeSet* wanted_ = &with_constants_;
};

} // namespace leak::preload
