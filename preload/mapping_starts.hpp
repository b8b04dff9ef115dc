// Where ranges that the program has mapped begin, so that a snapshot keeps the pointers of those who own one, and of a
// program with a heap of its own leaves out those to all the other pages.
//
// Any thread, signal handlers too; no locks. A set that is not exact: once an address is in it, so it stays, and some
// others (1 of 1,000 after 260 ranges) look as if they were. Memory: 32 KiB, of which what is used is touched.
#pragma once

#include "preload/os.hpp"

#include <atomic>
#include <cstdint>

namespace leak::preload {

class MappingStarts {
public:
    // A range was mapped, or is about to be unmapped. Behind its end may begin what is left of another one.
    void note(const void* start, uint64_t bytes) noexcept
    {
        const auto begin = reinterpret_cast<uint64_t>(start);
        add(begin / kPageBytes);
        add((begin + bytes + kPageBytes - 1) / kPageBytes);
    }

    // address: of a page.
    [[nodiscard]] bool may_begin_at(uint64_t address) const noexcept
    {
        const uint64_t bit = bit_of(address / kPageBytes);
        return (words_[bit / kWordBits].load(std::memory_order_relaxed) >> bit % kWordBits & 1) != 0;
    }

private:
    static constexpr unsigned kBitsLog2 = 18;
    static constexpr uint64_t kWordBits = 64;

    [[nodiscard]] static uint64_t bit_of(uint64_t page) noexcept
    {
        return page * 0x9e3779b97f4a7c15u >> (64 - kBitsLog2); // Fibonacci hashing: Knuth, TAOCP 6.4
    }
    void add(uint64_t page) noexcept
    {
        const uint64_t bit = bit_of(page);
        words_[bit / kWordBits].fetch_or(uint64_t{1} << bit % kWordBits, std::memory_order_relaxed);
    }

    std::atomic<uint64_t> words_[(uint64_t{1} << kBitsLog2) / kWordBits] = {};
};

} // namespace leak::preload
