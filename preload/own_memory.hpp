// The memory that libleak.so maps for itself: where it is, so that a snapshot of the process leaves it out.
//
// Any thread, any hook, any signal handler: the list takes no lock. In a forked child it is the parent's, as the memory
// is. Core dumps leave the memory out, too.
#pragma once

#include "preload/os.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace leak::preload {

// A fixed list of ranges. What finds no place in it is taken for the host's: some of its leaks may look reachable.
class OwnMemory {
public:
    void add(const void* at, size_t bytes) noexcept;
    void remove(const void* at) noexcept;

    // Calls visit(begin, end) for each range. What other threads map or unmap meanwhile may or may not be there.
    template <typename Visit> void for_each(Visit&& visit) const noexcept
    {
        const uint32_t end = end_.load(std::memory_order_acquire);
        for (uint32_t i = 0; i < end; ++i)
            if (const uint64_t begin = ranges_[i].begin.load(std::memory_order_acquire); begin > kBusy)
                visit(begin, begin + ranges_[i].bytes.load(std::memory_order_relaxed));
    }

private:
    [[nodiscard]] bool add_from(uint32_t first, const void* at, size_t bytes) noexcept;

    struct Range {
        std::atomic<uint64_t> begin{0}; // 0: not in use; stored last
        std::atomic<uint64_t> bytes{0};
    };
    static constexpr uint64_t kBusy = 1;
    static constexpr uint32_t kMost = 65'536; // 1 MiB, of which what is used is touched

    Range ranges_[kMost];
    std::atomic<uint32_t> end_{0};  // no range from here on was ever in use
    std::atomic<uint32_t> free_{0}; // where to look for a place first
};

extern constinit OwnMemory g_own_memory;

// As os::map_memory(), os::unmap() and os::grow_memory().
[[nodiscard]] inline void* map_own(size_t bytes) noexcept
{
    void* const at = os::map_memory(bytes);
    if (at == nullptr) return nullptr;
    os::advise(at, bytes, MADV_DONTDUMP);
    g_own_memory.add(at, bytes);
    return at;
}
// Memory that copies of the process share with it. A forked child must let go of it.
[[nodiscard]] inline void* map_shared_own(size_t bytes) noexcept
{
    const long at = os::call(SYS_mmap, 0, static_cast<long>(bytes), PROT_READ | PROT_WRITE,
                             MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at < 0 && at > -4096) return nullptr;
    const auto memory = reinterpret_cast<void*>(at);
    os::advise(memory, bytes, MADV_DONTDUMP);
    g_own_memory.add(memory, bytes);
    return memory;
}
inline void unmap_own(void* at, size_t bytes) noexcept
{
    g_own_memory.remove(at); // first: another thread may be given the place at once
    os::unmap(at, bytes);
}
[[nodiscard]] inline void* grow_own(void* at, size_t bytes, size_t new_bytes) noexcept
{
    void* const moved = os::grow_memory(at, bytes, new_bytes);
    if (moved == nullptr) return nullptr;
    g_own_memory.remove(at);
    g_own_memory.add(moved, new_bytes);
    return moved;
}

} // namespace leak::preload
