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

    // Else somebody has cut the file: there is zero memory in the buffer's place, into which a thread may have written.
    [[nodiscard]] bool is_whole() const noexcept { return format::frame_bytes(header->frame) == bytes; }
};

class BufferPool {
public:
    // Takes the raw buffer frames of a new slot in: all frames from `first` to the slot's end. False: no memory.
    [[nodiscard]] bool adopt(std::byte* first, const std::byte* end) noexcept;

    [[nodiscard]] RawBuffer* take_free() noexcept;
    void give_full(RawBuffer& buffer) noexcept;
    [[nodiscard]] RawBuffer* take_full() noexcept;   // the oldest
    void give_back_full(RawBuffer& buffer) noexcept; // what take_full() gave and nobody could compress
    void give_free(RawBuffer& buffer) noexcept;

    [[nodiscard]] uint32_t count() const noexcept { return count_.load(std::memory_order_relaxed); }
    [[nodiscard]] uint32_t full_count() const noexcept { return full_count_.load(std::memory_order_relaxed); }

    // Whether take_free() would find one at this moment; without the lock.
    [[nodiscard]] bool has_free() const noexcept { return free_count_.load(std::memory_order_relaxed) != 0; }
    // Full ones, those included that are being compressed.
    [[nodiscard]] uint32_t waiting_count() const noexcept { return waiting_count_.load(std::memory_order_relaxed); }
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
    static constexpr uint32_t kMostWarm = 16;

    static void push(RawBuffer*& list, RawBuffer& buffer) noexcept;
    [[nodiscard]] static RawBuffer* pop(RawBuffer*& list) noexcept;
    static void leave_memory(const RawBuffer& buffer) noexcept;

    Lock lock_;
    RawBuffer* buffers_ = nullptr;
    RawBuffer* warm_ = nullptr; // free, and their pages in memory: taken first
    RawBuffer* cold_ = nullptr; // free
    uint32_t warm_count_ = 0;
    RawBuffer* oldest_full_ = nullptr;
    RawBuffer* newest_full_ = nullptr;
    std::atomic<uint32_t> count_{0};
    std::atomic<uint32_t> free_count_{0}; // in warm_ and cold_
    std::atomic<uint32_t> full_count_{0};
    std::atomic<uint32_t> waiting_count_{0};
    std::atomic<uint32_t> free_events_{0}; // counts give_free(); a futex
};

} // namespace leak::preload
