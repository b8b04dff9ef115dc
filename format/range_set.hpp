// Ranges of addresses, and whether an address lies in one: asked of each word of a memory.
//
// One thread. Most words fail one comparison; most others lie in the range, or between the two ranges, of the one
// before. Ranges is an array of AddressSpan, and what it costs to grow it is all that add() costs.
#pragma once

#include <algorithm>
#include <cstdint>

namespace leak::format {

struct AddressSpan {
    uint64_t begin = 0;
    uint64_t end = 0; // behind the last
    [[nodiscard]] bool has(uint64_t address) const noexcept { return address - begin < end - begin; }
};

template <typename Ranges> class RangeSet {
public:
    // By address, without overlap.
    void add(uint64_t begin, uint64_t end)
    {
        if (ranges_.empty()) all_.begin = begin;
        all_.end = end;
        if (!ranges_.empty() && ranges_.back().end == begin)
            ranges_.back().end = end;
        else
            ranges_.push_back({begin, end});
    }

    [[nodiscard]] const Ranges& ranges() const noexcept { return ranges_; }

    [[nodiscard]] bool contains(uint64_t address) noexcept
    {
        if (!all_.has(address)) [[likely]]
            return false;
        if (gap_.has(address)) return false;
        if (last_.has(address)) return true;
        const auto after = std::upper_bound(ranges_.begin(), ranges_.end(), address,
                                            [](uint64_t at, const AddressSpan& range) { return at < range.begin; });
        const AddressSpan& before = *(after - 1);
        if (before.has(address)) {
            last_ = before;
            return true;
        }
        gap_ = {before.end, after->begin};
        return false;
    }

private:
    Ranges ranges_;
    AddressSpan all_;  // from the first to the last
    AddressSpan last_; // that held an address
    AddressSpan gap_;  // between two, where an address was
};

} // namespace leak::format
