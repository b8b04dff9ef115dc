// The raw buffers of a trace: free ones, and full ones that wait to be compressed.
//
// Any thread, in slow paths; every call takes the pool's own lock for a few instructions.
#pragma once

#include "format/layout.hpp"
#include "preload/lock.hpp"

#include <cstddef>
#include <cstdint>

namespace leak::preload {

// A raw buffer frame in the mapping of the trace. The handle is the pool's and lives as long as the trace.
struct RawBuffer {
    format::RawBufferHeader* header;
    RawBuffer* next;
    uint32_t bytes;
    uint64_t last_stamp; // of a full one: no event of it is later

    // Else somebody has cut the file: there is zero memory in the buffer's place, into which a thread may have written.
    [[nodiscard]] bool is_whole() const noexcept { return format::frame_bytes(header->frame) == bytes; }
};

class BufferPool {
public:
    // Takes the raw buffer frames of a new slot in: all frames from `first` to the slot's end. False: no memory.
    [[nodiscard]] bool adopt(std::byte* first, const std::byte* end) noexcept;

    // The smallest, or the largest; and a large one or none. It counts as just taken until settle().
    [[nodiscard]] RawBuffer* take_smallest() noexcept;
    [[nodiscard]] RawBuffer* take_largest() noexcept;
    [[nodiscard]] RawBuffer* take_large() noexcept;
    // Who took a buffer keeps it, or has given it back.
    void settle() noexcept { just_taken_count_.fetch_sub(1, std::memory_order_release); }
    void give_full(RawBuffer& buffer, uint64_t last_stamp) noexcept;
    [[nodiscard]] RawBuffer* take_full() noexcept;   // the oldest
    void give_back_full(RawBuffer& buffer) noexcept; // what take_full() gave and nobody could compress
    void give_free(RawBuffer& buffer) noexcept;

    // Buffers that become free are cut into buffers of so many bytes, until there are `count`.
    void cut_into(uint32_t bytes, uint32_t count) noexcept
    {
        cut_bytes_.store(bytes, std::memory_order_relaxed);
        wanted_count_.store(count, std::memory_order_relaxed);
    }

    [[nodiscard]] uint32_t count() const noexcept { return count_.load(std::memory_order_acquire); }
    [[nodiscard]] uint32_t large_count() const noexcept { return large_count_.load(std::memory_order_relaxed); }
    [[nodiscard]] uint32_t full_count() const noexcept { return full_count_.load(std::memory_order_relaxed); }

    // Whether take_free() would find one at this moment; without the lock.
    [[nodiscard]] bool has_free() const noexcept { return free_count_.load(std::memory_order_relaxed) != 0; }
    // Full ones, those included that are being compressed.
    [[nodiscard]] uint32_t waiting_count() const noexcept { return waiting_count_.load(std::memory_order_acquire); }
    [[nodiscard]] uint32_t just_taken_count() const noexcept
    {
        return just_taken_count_.load(std::memory_order_acquire);
    }
    // Threads keep nearly all of them: what is left has to go round.
    [[nodiscard]] bool is_short() const noexcept
    {
        constexpr uint32_t kMostLeft = 16;
        const uint32_t left = count() / 8 < kMostLeft ? count() / 8 : kMostLeft;
        return free_count_.load(std::memory_order_relaxed) + waiting_count() < left;
    }
    // i < count().
    [[nodiscard]] const RawBuffer& at(uint32_t i) const noexcept { return buffers_[i]; }

    // Sleeps until a buffer may have become free, or a moment passed.
    void wait_for_free(uint32_t seen) noexcept;
    [[nodiscard]] uint32_t free_events() const noexcept { return free_events_.load(std::memory_order_acquire); }

    // In a forked child: at once, and when no hook is using it.
    void unlock() noexcept { lock_.reset(); }
    void reset() noexcept;

private:
    static constexpr uint32_t kMost = 1u << 20;
    static constexpr uint32_t kMostWarm = 16; // of a size
    static constexpr uint32_t kSizes = 5;     // of the lists
    static constexpr uint32_t kLarge = 4;     // of them, those of large buffers

    // Free ones of about one size.
    struct FreeList {
        RawBuffer* warm; // their pages are in memory: taken first
        RawBuffer* cold;
        uint32_t warm_count;
    };
    // 0: the largest.
    [[nodiscard]] static uint32_t list_of(const RawBuffer& buffer) noexcept;
    // Under lock_.
    [[nodiscard]] RawBuffer* take_from(uint32_t list) noexcept;
    [[nodiscard]] bool add(format::RawBufferHeader* header, uint64_t bytes) noexcept;
    void cut(RawBuffer& buffer, uint32_t bytes) noexcept;
    static void push(RawBuffer*& list, RawBuffer& buffer) noexcept;
    [[nodiscard]] static RawBuffer* pop(RawBuffer*& list) noexcept;
    static void leave_memory(const RawBuffer& buffer) noexcept;

    Lock lock_;
    RawBuffer* buffers_ = nullptr;
    FreeList free_[kSizes] = {};
    RawBuffer* oldest_full_ = nullptr;
    RawBuffer* newest_full_ = nullptr;
    std::atomic<uint32_t> cut_bytes_{0};
    std::atomic<uint32_t> wanted_count_{0};
    std::atomic<uint32_t> count_{0};
    std::atomic<uint32_t> large_count_{0};
    std::atomic<uint32_t> free_count_{0};
    std::atomic<uint32_t> just_taken_count_{0};
    std::atomic<uint32_t> full_count_{0};
    std::atomic<uint32_t> waiting_count_{0};
    std::atomic<uint32_t> free_events_{0}; // counts give_free(); a futex
};

} // namespace leak::preload
