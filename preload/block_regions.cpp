#include "preload/block_regions.hpp"

#include <bit>

namespace leak::preload {

constinit BlockRegions g_block_regions;

void BlockRegions::add(uint64_t address, uint64_t bytes, Owner mine) noexcept
{
    if (mine == kUnknown) mine = several();
    std::atomic<Owner>& owner = owners_[address / kRegionBytes % kRegions];
    Owner found = owner.load(std::memory_order_relaxed);
    while (found <= inherited_)
        if (owner.compare_exchange_weak(found, mine, std::memory_order_relaxed)) found = mine;
    if (found != mine) share(address / kRegionBytes);

    // Blocks that begin in the others have other events. (An address and a size may be anything: leak_alloc.)
    const uint64_t first = address / kRegionBytes;
    const uint64_t last = (address + bytes) / kRegionBytes;
    if (last - first >= kRegions) return is_incomplete_.store(true, std::memory_order_relaxed);
    for (uint64_t region = first + 1; region <= last; ++region) {
        std::atomic<Owner>& further = owners_[region % kRegions];
        if (further.load(std::memory_order_relaxed) != kNobody) continue; // as mostly; a failed exchange costs more
        Owner nobody = kNobody;
        further.compare_exchange_strong(nobody, mine, std::memory_order_relaxed);
    }
}

// Of two threads, one that notes a block and one that begins, at least one finds what the other one has stored.
void BlockRegions::note_large(uint64_t address) noexcept
{
    const uint64_t region = address / kRegionBytes % kRegions;
    large_[region / kWordBits].fetch_or(uint64_t{1} << region % kWordBits, std::memory_order_seq_cst);
    if (are_several_.load(std::memory_order_seq_cst)) share(region);
}

void BlockRegions::begin_several() noexcept
{
    are_several_.store(true, std::memory_order_seq_cst);
    for (uint64_t word = 0; word < kRegions / kWordBits; ++word)
        for (uint64_t bits = large_[word].load(std::memory_order_seq_cst); bits != 0; bits &= bits - 1)
            share(word * kWordBits + static_cast<uint64_t>(std::countr_zero(bits)));
}

void BlockRegions::begin_child(uint32_t threads) noexcept
{
    const Owner last = owner_for(threads);
    are_several_.store(false, std::memory_order_relaxed);
    inherited_ = last == kUnknown ? kUnknown - 2 : last;
}

} // namespace leak::preload
