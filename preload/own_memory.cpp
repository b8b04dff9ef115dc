#include "preload/own_memory.hpp"

namespace leak::preload {

constinit OwnMemory g_own_memory;

void OwnMemory::add(const void* at, size_t bytes) noexcept
{
    // The place to begin is a guess: what threads do at the same time may leave it behind one that is free.
    if (!add_from(free_.load(std::memory_order_relaxed), at, bytes)) static_cast<void>(add_from(0, at, bytes));
}

bool OwnMemory::add_from(uint32_t first, const void* at, size_t bytes) noexcept
{
    for (uint32_t i = first; i < kMost; ++i) {
        Range& range = ranges_[i];
        uint64_t unused = 0;
        if (range.begin.load(std::memory_order_relaxed) != 0 ||
            !range.begin.compare_exchange_strong(unused, kBusy, std::memory_order_acquire))
            continue;
        range.bytes.store(bytes, std::memory_order_relaxed);
        range.begin.store(reinterpret_cast<uint64_t>(at), std::memory_order_release);
        free_.store(i + 1, std::memory_order_relaxed);
        for (uint32_t end = end_.load(std::memory_order_relaxed); end <= i;)
            if (end_.compare_exchange_weak(end, i + 1, std::memory_order_release)) break;
        return true;
    }
    return false;
}

void OwnMemory::remove(const void* at) noexcept
{
    const auto address = reinterpret_cast<uint64_t>(at);
    const uint32_t end = end_.load(std::memory_order_acquire);
    for (uint32_t i = 0; i < end; ++i) {
        if (ranges_[i].begin.load(std::memory_order_relaxed) != address) continue;
        ranges_[i].begin.store(0, std::memory_order_release);
        if (i < free_.load(std::memory_order_relaxed)) free_.store(i, std::memory_order_relaxed);
        return;
    }
}

} // namespace leak::preload
