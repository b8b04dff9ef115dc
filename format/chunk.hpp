// Event chunks: a raw buffer's events, compressed in columns or stored in rows, and their place in a slot.
//
// The only user of zstd. Takes no memory but what it is given, so that it may run in the host.
#pragma once

#include "format/event_encoder.hpp"
#include "format/layout.hpp"
#include "format/stored_frame.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

struct ZSTD_CCtx_s;
struct ZSTD_DCtx_s;

namespace leak::format {

// The zstd frames of a chunk, in pieces that lie one behind the other in the file: all at once, or what is around a
// content that lies elsewhere.
struct ChunkFrames {
    std::array<std::span<const std::byte>, 3> pieces;

    // Not explicit: frames in one piece are a plain span everywhere else.
    ChunkFrames(std::span<const std::byte> whole) noexcept : pieces{whole, {}, {}} {}
    ChunkFrames(const StoredFrame& around, std::span<const std::byte> content) noexcept
        : pieces{around.head, content, around.tail}
    {
    }

    [[nodiscard]] size_t bytes() const noexcept { return pieces[0].size() + pieces[1].size() + pieces[2].size(); }
};

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

    // The same without compression, in a fraction of the time: the rows as they are and where they are, so the result
    // is valid as long as the buffer, too. They are not looked at: whoever reads the chunk finds those that somebody
    // has overwritten, or a wrong checksum. last_stamp: RowWriter::last_stamp().
    [[nodiscard]] ChunkFrames store(const RawBufferHeader& buffer, uint64_t last_stamp,
                                    EventChunkHeader& header) noexcept;

private:
    ZSTD_CCtx_s* context_ = nullptr;
    int level_ = 0;
    EventEncoder* encoder_ = nullptr;
    std::span<std::byte> columns_;
    std::span<std::byte> compressed_; // the zstd frames
    StoredFrame stored_;              // around rows
};

// Bytes a chunk takes in a slot: header, zstd frames, and a filler that ends it at an 8-byte boundary. Header: one with
// a `compressed_bytes`.
template <typename Header = EventChunkHeader>
[[nodiscard]] constexpr uint64_t chunk_bytes(uint32_t compressed_bytes) noexcept
{
    const uint64_t end = sizeof(Header) + uint64_t{compressed_bytes};
    return align8(end + kSkippablePrefixBytes);
}

// Whether a chunk of so many bytes may be appended where there is so much room.
[[nodiscard]] constexpr bool chunk_fits(uint64_t bytes, uint64_t room) noexcept
{
    return bytes == room || bytes + kSkippablePrefixBytes <= room;
}

// What ends a chunk behind its zstd frames, and the slot behind the chunk.
struct ChunkTail {
    static constexpr uint64_t kMostGap = 512;
    std::array<std::byte, 24 + kMostGap> bytes;
    size_t used;
};
// data_bytes: of the header and the zstd frames; taken: chunk_bytes(), and at most kMostGap more, in steps of 8; room:
// up to the slot's end. Needs chunk_fits(taken, room).
[[nodiscard]] ChunkTail chunk_tail(uint64_t data_bytes, uint64_t taken, uint64_t room) noexcept;

// Turns the padding frame at `at` into the chunk whose other bytes are in their places, by one store. first: the first
// kPublishedBytes of the chunk's header.
inline constexpr size_t kPublishedBytes = 8;
void publish_chunk(std::byte* at, const std::byte* first) noexcept;

// Makes the chunk part of the slot at `at`, where `room` bytes up to the slot's end are one padding frame. Until the
// last store the slot reads as before. Needs chunk_fits(). Returns the bytes taken.
template <typename Header>
uint64_t append_chunk(std::byte* at, uint64_t room, const Header& header, const ChunkFrames& frames) noexcept
{
    const uint64_t taken = chunk_bytes<Header>(header.compressed_bytes);
    const auto* const bytes = reinterpret_cast<const std::byte*>(&header);
    const ChunkTail tail = chunk_tail(sizeof header + frames.bytes(), taken, room);
    std::memcpy(at + kPublishedBytes, bytes + kPublishedBytes, sizeof header - kPublishedBytes);
    std::byte* to = at + sizeof header;
    for (const std::span<const std::byte> piece : frames.pieces) {
        if (!piece.empty()) std::memcpy(to, piece.data(), piece.size());
        to += piece.size();
    }
    std::memcpy(to, tail.bytes.data(), tail.used);
    publish_chunk(at, bytes);
    return taken;
}

// Decompresses chunks and the parts of the carried state. One user at a time; lives in the memory given to init().
class Decompressor {
public:
    [[nodiscard]] static size_t memory_bytes() noexcept;

    // `memory`: 8-byte aligned, at least memory_bytes(), kept by the caller for the decompressor's life.
    [[nodiscard]] bool init(std::span<std::byte> memory) noexcept;

    // Decompresses zstd frames into `plain`, which they must fill. nullptr, or what is wrong with the data.
    [[nodiscard]] const char* decompress(std::span<const std::byte> compressed, std::span<std::byte> plain) noexcept;

private:
    ZSTD_DCtx_s* context_ = nullptr;
};

// Compresses the parts of the carried state. One user at a time; lives in the memory given to init().
class PartCompressor {
public:
    [[nodiscard]] static size_t memory_bytes(int level) noexcept;

    // `memory`: 8-byte aligned, at least memory_bytes(level), kept by the caller for the compressor's life.
    [[nodiscard]] bool init(std::span<std::byte> memory, int level) noexcept;

    // A zstd frame of at most kMaxPartBytes, valid until the next call; empty on failure (a bug).
    [[nodiscard]] std::span<const std::byte> compress(std::span<const std::byte> plain) noexcept;

private:
    ZSTD_CCtx_s* context_ = nullptr;
    std::span<std::byte> compressed_;
};

} // namespace leak::format
