// Event chunks: a raw buffer's events in columns, compressed, and their place in a slot.
//
// The only user of zstd. The write side takes no memory but what it is given and may run in the host; the read side is
// bounded by the sizes the header promises.
#pragma once

#include "format/event_encoder.hpp"
#include "format/layout.hpp"

#include <cstddef>
#include <cstdint>
#include <expected>
#include <span>
#include <string>

struct ZSTD_CCtx_s;
struct ZSTD_DCtx_s;

namespace leak::format {

// Compresses raw buffers. One user at a time. Not copyable: the context lives in the memory given to init().
class ChunkCompressor {
public:
    // Bytes of memory init() needs for buffers of kRawBufferBytes at `level` (zstd's levels, 1..19).
    [[nodiscard]] static size_t memory_bytes(int level) noexcept;

    // `memory`: 8-byte aligned, at least memory_bytes(level), kept by the caller for the compressor's life.
    [[nodiscard]] bool init(std::span<std::byte> memory, int level) noexcept;

    // Compresses the events of `buffer` (whose owner has stopped writing; at most kRawBufferBytes). On success `header`
    // is complete and the result holds the zstd frames, valid until the next call; empty on failure (a bug). Events
    // from a row on that somebody has overwritten are left out: header.event_count says how many are there.
    [[nodiscard]] std::span<const std::byte> compress(const RawBufferHeader& buffer, EventChunkHeader& header) noexcept;

private:
    ZSTD_CCtx_s* context_ = nullptr;
    int level_ = 0;
    EventEncoder* encoder_ = nullptr;
    std::span<std::byte> columns_;
    std::span<std::byte> compressed_; // the zstd frames
};

// Bytes a chunk takes in a slot: header, zstd frame, and a filler that ends it at an 8-byte boundary.
[[nodiscard]] constexpr uint64_t chunk_bytes(uint32_t compressed_bytes) noexcept
{
    const uint64_t end = sizeof(EventChunkHeader) + uint64_t{compressed_bytes};
    return align8(end + kSkippablePrefixBytes);
}

// Makes the chunk part of the slot at `at`, where `room` bytes up to the slot's end are one padding frame. Until the
// last store the slot reads as before. Needs chunk_bytes() == room or chunk_bytes() + kSkippablePrefixBytes <= room.
// Returns the bytes taken.
uint64_t append_chunk(std::byte* at, uint64_t room, const EventChunkHeader& header,
                      std::span<const std::byte> compressed) noexcept;

// Decompresses chunks; one per thread that decodes.
class ChunkDecompressor {
public:
    ChunkDecompressor();
    ~ChunkDecompressor();
    ChunkDecompressor(const ChunkDecompressor&) = delete;
    ChunkDecompressor& operator=(const ChunkDecompressor&) = delete;

    // Decompresses `compressed` into `columns`, whose size must be the sum of header.column_bytes. The error says what
    // is wrong with the data.
    [[nodiscard]] std::expected<void, std::string> decompress(std::span<const std::byte> compressed,
                                                              std::span<std::byte> columns);

private:
    ZSTD_DCtx_s* context_;
};

} // namespace leak::format
