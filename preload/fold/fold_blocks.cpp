#include "preload/fold/fold_blocks.hpp"

#include <algorithm>

namespace leak::preload {

bool FoldBlocks::rehash(size_t places) noexcept
{
    MappedArray<uint32_t> fresh; // zero
    if (!fresh.resize(places < kFewestPlaces ? kFewestPlaces : places)) return false;
    places_ = std::move(fresh);
    for (size_t i = 0; i < blocks_.size(); ++i) places_[place_of(blocks_[i].address)] = static_cast<uint32_t>(i + 1);
    return true;
}

void FoldBlocks::sort() noexcept
{
    std::sort(blocks_.begin(), blocks_.end(), [](const FoldBlock& a, const FoldBlock& b) {
        return a.stamp != b.stamp ? a.stamp < b.stamp : a.address < b.address;
    });
    if (blocks_.empty()) return;
    std::fill(places_.begin(), places_.end(), 0);
    for (size_t i = 0; i < blocks_.size(); ++i) places_[place_of(blocks_[i].address)] = static_cast<uint32_t>(i + 1);
}

} // namespace leak::preload
