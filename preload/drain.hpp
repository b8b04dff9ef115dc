// Compresses full raw buffers into event slots. Done by the writer, or by a host thread that needs a buffer.
#pragma once

#include "format/chunk.hpp"
#include "preload/lock.hpp"

#include <cstddef>

namespace leak::preload {

class Drain {
public:
    // Compresses the oldest full buffer and frees it. False: there is none, somebody else is at it, or the trace has
    // failed. Needs about 8 KiB of stack.
    [[nodiscard]] bool try_one() noexcept;

    void reset() noexcept;

private:
    [[nodiscard]] bool prepare() noexcept;
    [[nodiscard]] bool drain_one() noexcept;
    [[nodiscard]] bool make_room(uint64_t chunk_bytes) noexcept;

    Lock lock_;
    bool ready_ = false;
    format::ChunkCompressor compressor_;
    std::byte* memory_ = nullptr; // the compressor's; kept for the process
    size_t memory_bytes_ = 0;
    std::byte* slot_ = nullptr; // the event slot being filled
    uint64_t used_ = 0;         // bytes of it
};

} // namespace leak::preload
