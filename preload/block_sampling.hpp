// LEAK_SAMPLE: which allocations are recorded, and whether a block that is released was.
//
// Any thread, signal handlers too; no locks but for growing. The addresses of recorded blocks that are live lie in
// tables of which each is as large as all before it together; a release that was not recorded, as most are, looks at
// one cache line of each. Memory: 16 to 64 bytes a recorded block.
#pragma once

#include "preload/lock.hpp"

#include <atomic>
#include <cstdint>

namespace leak::preload {

class BlockSampling {
public:
    [[nodiscard]] bool is_on() const noexcept { return period_ != 0; }
    [[nodiscard]] uint64_t period() const noexcept { return period_; }
    // Once, before any event. period: bytes between two samples on average; 0: everything is recorded.
    void begin(uint64_t period) noexcept { period_ = period; }

    // Whether an allocation of so many bytes on this thread is recorded.
    [[nodiscard]] bool chooses(uint64_t bytes) const noexcept;

    // The block is recorded. False: no memory to know that by.
    [[nodiscard]] bool add(const void* block) noexcept;
    // Takes the block out. False: it was not recorded.
    [[nodiscard]] bool take(const void* block) noexcept;

    // In a forked child, which keeps its parent's blocks.
    void unlock() noexcept { growth_lock_.reset(); }

private:
    // Seven addresses, and how many that belong here lie in the lines behind.
    struct Line {
        std::atomic<uint64_t> addresses[7];
        std::atomic<uint64_t> elsewhere;
    };
    static_assert(sizeof(Line) == 64);
    static constexpr uint32_t kMostTables = 20;
    static constexpr uint64_t kFirstLines = 1024;
    static constexpr uint64_t kNeighbours = 8; // lines that are tried

    [[nodiscard]] static uint64_t lines_of(uint32_t table) noexcept { return kFirstLines << table; }
    [[nodiscard]] static bool add_to(Line* table, uint64_t lines, uint64_t address) noexcept;
    [[nodiscard]] static bool take_from(Line* table, uint64_t lines, uint64_t address) noexcept;
    [[nodiscard]] bool grow(uint32_t tables) noexcept;

    uint64_t period_ = 0;
    std::atomic<uint32_t> tables_{0};
    Line* table_[kMostTables] = {};
    Lock growth_lock_;
};

} // namespace leak::preload
