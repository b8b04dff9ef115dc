// Which words a snapshot keeps (FORMAT.md, section 10): those whose value lies in memory that is pointed to.
//
// One thread. Most words fail one comparison; of the others most lie in the range of the one before. `Ranges` is an
// array of TargetRange, and what it costs to grow it is all that add() costs.
#pragma once

#include <algorithm>
#include <cstdint>

namespace leak::format {

struct TargetRange {
    uint64_t begin = 0;
    uint64_t end = 0;
};

template <typename Ranges> class PointerFilter {
public:
    // By address, without overlap.
    void add(uint64_t begin, uint64_t end)
    {
        if (!ranges_.empty() && ranges_.back().end == begin)
            ranges_.back().end = end;
        else
            ranges_.push_back({begin, end});
        if (ranges_.empty()) return; // no memory
        first_ = ranges_.begin()->begin;
        span_ = ranges_.back().end - first_;
    }

    [[nodiscard]] const Ranges& ranges() const noexcept { return ranges_; }

    [[nodiscard]] bool keeps(uint64_t value) noexcept
    {
        if (value - first_ >= span_) [[likely]]
            return false;
        if (value - last_.begin < last_.end - last_.begin) return true;
        const auto after = std::upper_bound(ranges_.begin(), ranges_.end(), value,
                                            [](uint64_t at, const TargetRange& range) { return at < range.begin; });
        if (after == ranges_.begin() || value >= (after - 1)->end) return false;
        last_ = *(after - 1);
        return true;
    }

private:
    Ranges ranges_;
    uint64_t first_ = 0;
    uint64_t span_ = 0;
    TargetRange last_;
};

} // namespace leak::format
