#include "preload/fold/fold_blocks.hpp"

#include <algorithm>

namespace leak::preload {

bool FoldBlocks::grow() noexcept
{
    constexpr size_t kFewest = 1024;
    constexpr size_t kRoomy = (size_t{16} << 20) / sizeof(FoldBlock);
    const size_t had = places_.size();
    const size_t places = had == 0 ? kFewest : 2 * had <= kRoomy ? 2 * had : had + had / 5;
    FoldBlocks larger;
    if (!larger.places_.resize(places)) { // zero: empty
        out_of_memory_ = true;
        return false;
    }
    larger.most_ = places <= kRoomy ? places / 4 : places / 8 * 7;
    // The order of places is that of hashes in both, so the new pages are touched as the old ones are left, and there
    // is never much more than one table in memory.
    constexpr size_t kAtOnce = (size_t{1} << 20) / sizeof(FoldBlock);
    for (size_t from = 0; from < had; from += kAtOnce) {
        const size_t end = had - from < kAtOnce ? had : from + kAtOnce;
        for (size_t place = from; place < end; ++place)
            if (const FoldBlock& block = places_[place]; block.kind != 0)
                larger.places_[larger.place_of(block.address)] = block;
        places_.give_back(from, end);
    }
    places_ = std::move(larger.places_);
    most_ = larger.most_;
    return true;
}

bool FoldBlocks::sort(MappedArray<uint32_t>& order) const noexcept
{
    order.clear();
    if (!order.reserve(size_)) return false;
    for (size_t place = 0; place < places_.size(); ++place)
        if (places_[place].kind != 0) order.push_back(static_cast<uint32_t>(place));
    std::sort(order.begin(), order.end(), [this](uint32_t a, uint32_t b) {
        const FoldBlock& first = places_[a];
        const FoldBlock& second = places_[b];
        return first.stamp != second.stamp ? first.stamp < second.stamp : first.address < second.address;
    });
    return true;
}

} // namespace leak::preload
