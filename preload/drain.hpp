// Brings full raw buffers into event slots, compressed where there is the time. Done by the writer, or by a host thread
// that needs a buffer.
#pragma once

#include "format/chunk.hpp"
#include "preload/lock.hpp"
#include "preload/trace_file.hpp"

#include <cstddef>
#include <cstdint>

namespace leak::preload {

// A compressor with an event slot of its own. Used by one thread at a time, whichever takes it.
class Drain {
public:
    enum class Result { done, nothing, busy, no_memory };

    // Compresses the oldest full buffer and frees it. nothing: there is none, or the trace has failed. busy: another
    // thread is at it. no_memory: for the compressor. Needs about 8 KiB of stack.
    [[nodiscard]] Result try_one() noexcept;

    // In a forked child: at once, and when no hook is using it.
    void unlock() noexcept { lock_.reset(); }
    void reset() noexcept;

private:
    [[nodiscard]] bool prepare() noexcept;
    [[nodiscard]] bool drain_one() noexcept;
    [[nodiscard]] static bool is_to_compress() noexcept;
    void append(const format::EventChunkHeader& header, const format::ChunkFrames& frames) noexcept;
    [[nodiscard]] uint64_t write_to_file(const format::EventChunkHeader& header,
                                         const format::ChunkFrames& frames) noexcept;
    [[nodiscard]] bool make_room(uint64_t chunk_bytes) noexcept;

    Lock lock_;
    bool ready_ = false;
    format::ChunkCompressor compressor_;
    std::byte* memory_ = nullptr; // the compressor's; kept for the process
    size_t memory_bytes_ = 0;
    Slot slot_;         // the event slot being filled
    uint64_t used_ = 0; // bytes of it
};

// As many as there are processors, and some for threads that lost theirs while they were at it: so that a thread that
// needs a buffer need not wait for another one that is compressing. Those that are never needed take no memory.
class Drains {
public:
    // processors: that the process may run on.
    void init(uint32_t processors) noexcept { count_ = processors + kSpare < kMost ? processors + kSpare : kMost; }
    // Compresses the oldest full buffer and frees it. False: there is none, all drains are busy, or the trace has
    // failed.
    [[nodiscard]] bool try_one() noexcept;
    // As Drain's.
    void unlock() noexcept
    {
        for (Drain& drain : drains_) drain.unlock();
    }
    void reset() noexcept
    {
        for (Drain& drain : drains_) drain.reset();
    }

private:
    static constexpr uint32_t kMost = 8;
    static constexpr uint32_t kSpare = 2;

    Drain drains_[kMost];
    uint32_t count_ = 1;
};

} // namespace leak::preload
