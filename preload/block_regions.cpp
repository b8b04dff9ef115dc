#include "preload/block_regions.hpp"

namespace leak::preload {

void BlockRegions::add(uint64_t first, uint64_t last) noexcept
{
    constexpr uint64_t kMostAtOnce = uint64_t{1} << 16; // 64 GiB; an address and a size may be anything (leak_alloc)
    if (is_incomplete_.load(std::memory_order_relaxed)) return;
    if (last - first >= kMostAtOnce) return is_incomplete_.store(true, std::memory_order_relaxed);
    for (uint64_t region = first; region <= last; ++region) {
        if (has(region)) continue;
        std::atomic<Leaf*>& place = leaves_[region / kLeafBits % kLeaves];
        Leaf* leaf = place.load(std::memory_order_acquire);
        if (leaf == nullptr) {
            auto* const made = static_cast<Leaf*>(map_own(sizeof(Leaf)));
            if (made == nullptr) return is_incomplete_.store(true, std::memory_order_relaxed);
            if (place.compare_exchange_strong(leaf, made, std::memory_order_acq_rel))
                leaf = made;
            else
                unmap_own(made, sizeof(Leaf)); // another thread was quicker
        }
        auto& word = const_cast<std::atomic<uint64_t>&>(word_of(*leaf, region));
        word.fetch_or(bit_of(region), std::memory_order_relaxed);
    }
}

} // namespace leak::preload
