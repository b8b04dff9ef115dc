// What the program says pointers lie in, though it is not its heap: leak_root().
//
// Any thread that is in no signal handler of its own making; no lock. In a forked child it is the parent's, as the
// memory is.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace leak::preload {

class RootTable {
public:
    static constexpr uint32_t kMost = 1024;

    // False: there are too many.
    bool add(const void* at, size_t bytes) noexcept
    {
        const auto address = reinterpret_cast<uint64_t>(at);
        remove(at);
        for (Root& root : roots_) {
            uint64_t unused = 0;
            if (!root.begin.compare_exchange_strong(unused, kBusy, std::memory_order_acquire)) continue;
            root.bytes.store(bytes, std::memory_order_relaxed);
            root.begin.store(address, std::memory_order_release);
            return true;
        }
        return false;
    }
    void remove(const void* at) noexcept
    {
        for (Root& root : roots_) {
            uint64_t address = reinterpret_cast<uint64_t>(at);
            if (root.begin.compare_exchange_strong(address, 0, std::memory_order_acq_rel)) return;
        }
    }
    // Calls visit(begin, end) for each.
    template <typename Visit> void for_each(Visit&& visit) const noexcept
    {
        for (const Root& root : roots_) {
            const uint64_t begin = root.begin.load(std::memory_order_acquire);
            const uint64_t end = begin + root.bytes.load(std::memory_order_relaxed);
            if (begin > kBusy && end > begin) visit(begin, end);
        }
    }

private:
    struct Root {
        std::atomic<uint64_t> begin{0}; // 0: not in use; stored last
        std::atomic<uint64_t> bytes{0};
    };
    static constexpr uint64_t kBusy = 1;

    Root roots_[kMost];
};

} // namespace leak::preload
