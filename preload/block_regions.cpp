#include "preload/block_regions.hpp"

namespace leak::preload {

constinit BlockRegions g_block_regions;

void BlockRegions::add(uint64_t address, uint64_t bytes, Owner mine) noexcept
{
    if (mine == kUnknown) mine = several();
    std::atomic<Owner>& owner = owners_[address / kRegionBytes % kRegions];
    Owner found = owner.load(std::memory_order_relaxed);
    while (found <= inherited_)
        if (owner.compare_exchange_weak(found, mine, std::memory_order_relaxed)) found = mine;
    if (found != mine) owner.store(several(), std::memory_order_release);

    // Blocks that begin in the others have other events. (An address and a size may be anything: leak_alloc.)
    const uint64_t first = address / kRegionBytes;
    const uint64_t last = (address + bytes) / kRegionBytes;
    if (last - first >= kRegions) return is_incomplete_.store(true, std::memory_order_relaxed);
    for (uint64_t region = first + 1; region <= last; ++region) {
        Owner nobody = kNobody;
        owners_[region % kRegions].compare_exchange_strong(nobody, mine, std::memory_order_relaxed);
    }
}

void BlockRegions::begin_child(uint32_t threads) noexcept
{
    const Owner last = owner_for(threads);
    inherited_ = last == kUnknown ? kUnknown - 2 : last;
}

} // namespace leak::preload
