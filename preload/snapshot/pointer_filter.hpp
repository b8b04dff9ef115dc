// Whether a word may be a pointer that a snapshot keeps: its value lies in an area of the kind anonymous or read-only.
//
// In the copy alone. Most words fail one comparison; of the others most lie in the area of the one before.
#pragma once

#include "preload/mapped_array.hpp"
#include "preload/snapshot/areas.hpp"

#include <algorithm>

namespace leak::preload {

class PointerFilter {
public:
    // False: no memory.
    [[nodiscard]] bool begin(const MappedArray<AreaPiece>& pieces) noexcept
    {
        for (const AreaPiece& piece : pieces) {
            if (!piece.is_target()) continue;
            if (!ranges_.empty() && ranges_.back().end == piece.begin)
                ranges_.back().end = piece.end;
            else
                ranges_.push_back({piece.begin, piece.end});
        }
        if (ranges_.out_of_memory()) return false;
        if (ranges_.empty()) return true;
        first_ = ranges_[0].begin;
        span_ = ranges_.back().end - first_;
        return true;
    }

    [[nodiscard]] bool keeps(uint64_t value) noexcept
    {
        if (value - first_ >= span_) [[likely]]
            return false;
        if (value - last_.begin < last_.end - last_.begin) return true;
        const Range* const after = std::upper_bound(ranges_.begin(), ranges_.end(), value,
                                                    [](uint64_t at, const Range& r) { return at < r.begin; });
        if (after == ranges_.begin() || value >= (after - 1)->end) return false;
        last_ = *(after - 1);
        return true;
    }

private:
    struct Range {
        uint64_t begin;
        uint64_t end;
    };
    MappedArray<Range> ranges_;
    uint64_t first_ = 0;
    uint64_t span_ = 0;
    Range last_{0, 0};
};

} // namespace leak::preload
