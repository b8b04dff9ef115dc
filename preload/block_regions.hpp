// Which MiB of the address space ever held a block, so that a snapshot leaves out words that lead to none: of those
// that look like pointers in a program with a heap of its own (a compiler's collector), nearly all.
//
// Any thread, signal handlers too; no locks. What the common allocation does is to load two words that hardly ever
// change. Memory: 32 KiB, of which what is used is touched, and 4 KiB for each 32 GiB of addresses that have blocks.
#pragma once

#include "preload/own_memory.hpp"

#include <atomic>
#include <cstdint>

namespace leak::preload {

class BlockRegions {
public:
    static constexpr uint64_t kRegionBytes = uint64_t{1} << 20;

    // Whether the block is known to lie in one region that held one before.
    [[nodiscard, gnu::always_inline]] bool knows(uint64_t address, uint64_t bytes) const noexcept
    {
        const uint64_t first = address / kRegionBytes;
        return first == (address + bytes) / kRegionBytes && has(first);
    }
    // A block is about to be recorded. A pointer to its end counts, too.
    void note(uint64_t address, uint64_t bytes) noexcept
    {
        if (!knows(address, bytes)) add(address / kRegionBytes, (address + bytes) / kRegionBytes);
    }

    // Whether there was a block in the region that holds the address.
    [[nodiscard]] bool held_block(uint64_t address) const noexcept
    {
        return is_incomplete_.load(std::memory_order_relaxed) || has(address / kRegionBytes);
    }

private:
    static constexpr uint64_t kLeafBits = uint64_t{1} << 15;
    static constexpr uint64_t kLeaves = uint64_t{1} << 12; // for 47 bits of addresses
    static constexpr uint64_t kWordBits = 64;
    struct Leaf {
        std::atomic<uint64_t> words[kLeafBits / kWordBits];
    };

    [[nodiscard]] bool has(uint64_t region) const noexcept
    {
        const Leaf* const leaf = leaves_[region / kLeafBits % kLeaves].load(std::memory_order_acquire);
        return leaf != nullptr && (word_of(*leaf, region).load(std::memory_order_relaxed) & bit_of(region)) != 0;
    }
    [[nodiscard]] static const std::atomic<uint64_t>& word_of(const Leaf& leaf, uint64_t region) noexcept
    {
        return leaf.words[region % kLeafBits / kWordBits];
    }
    [[nodiscard]] static uint64_t bit_of(uint64_t region) noexcept { return uint64_t{1} << region % kWordBits; }

    [[gnu::noinline]] void add(uint64_t first, uint64_t last) noexcept;

    std::atomic<Leaf*> leaves_[kLeaves] = {};
    std::atomic<bool> is_incomplete_{false}; // there was no memory, or an endless block: any region may hold some
};

} // namespace leak::preload
