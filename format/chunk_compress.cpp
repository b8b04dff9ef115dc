#include "format/checksum.hpp"
#include "format/chunk.hpp"

#define ZSTD_STATIC_LINKING_ONLY // ZSTD_initStaticCCtx: a context in memory of ours
#include <zstd.h>

#include <atomic>
#include <cstring>

namespace leak::format {

namespace {

constexpr size_t kCompressedBytes = ZSTD_COMPRESSBOUND(kRawBufferBytes) + kColumnCount * 16;

[[nodiscard]] size_t context_bytes(int level) noexcept
{
    const ZSTD_compressionParameters parameters = ZSTD_getCParams(level, kRawBufferBytes, 0);
    return align8(ZSTD_estimateCStreamSize_usingCParams(parameters));
}

} // namespace

size_t ChunkCompressor::memory_bytes(int level) noexcept
{
    return context_bytes(level) + align8(kCompressedBytes);
}

bool ChunkCompressor::init(std::span<std::byte> memory, int level) noexcept
{
    const size_t bytes = context_bytes(level);
    if (memory.size() < memory_bytes(level)) return false;
    context_ = ZSTD_initStaticCCtx(memory.data(), bytes);
    if (context_ == nullptr) return false;
    compressed_ = memory.subspan(bytes, kCompressedBytes);
    const ZSTD_compressionParameters parameters = ZSTD_getCParams(level, kRawBufferBytes, 0);
    const auto set = [this](ZSTD_cParameter parameter, unsigned value) {
        return !ZSTD_isError(ZSTD_CCtx_setParameter(context_, parameter, static_cast<int>(value)));
    };
    return set(ZSTD_c_windowLog, parameters.windowLog) && set(ZSTD_c_chainLog, parameters.chainLog) &&
           set(ZSTD_c_hashLog, parameters.hashLog) && set(ZSTD_c_searchLog, parameters.searchLog) &&
           set(ZSTD_c_minMatch, parameters.minMatch) && set(ZSTD_c_targetLength, parameters.targetLength) &&
           set(ZSTD_c_strategy, static_cast<unsigned>(parameters.strategy)) && set(ZSTD_c_checksumFlag, 1);
}

std::span<const std::byte> ChunkCompressor::compress(const RawBufferHeader& buffer, EventChunkHeader& header) noexcept
{
    header = {};
    header.thread_index = buffer.thread_index;
    header.level = buffer.level;
    header.stream_sequence = buffer.stream_sequence;
    header.base_stamp = buffer.base_stamp;
    header.last_stamp = buffer.last_stamp;
    header.event_count = buffer.event_count;
    uint64_t all = 0;
    for (uint32_t c = 0; c < kColumnCount; ++c)
        all += header.column_bytes[c] = buffer.column_end[c] - buffer.column_begin[c];
    ZSTD_CCtx_reset(context_, ZSTD_reset_session_only);
    if (ZSTD_isError(ZSTD_CCtx_setPledgedSrcSize(context_, all))) return {};
    ZSTD_outBuffer out{compressed_.data(), compressed_.size(), 0};
    for (uint32_t c = 0; c < kColumnCount; ++c) {
        // Blocks of its own for each column, so that each has the entropy tables that suit it: 12 % less.
        ZSTD_inBuffer in{reinterpret_cast<const std::byte*>(&buffer) + buffer.column_begin[c], header.column_bytes[c],
                         0};
        const bool is_last = c + 1 == kColumnCount;
        if (ZSTD_compressStream2(context_, &out, &in, is_last ? ZSTD_e_end : ZSTD_e_flush) != 0) return {};
    }
    const size_t result = out.pos;
    header.compressed_bytes = static_cast<uint32_t>(result);
    header.frame = make_frame(FrameKind::events, sizeof(EventChunkHeader));
    header.checksum = checksum(&header, offsetof(EventChunkHeader, checksum));
    return compressed_.first(result);
}

uint64_t append_chunk(std::byte* at, uint64_t room, const EventChunkHeader& header,
                      std::span<const std::byte> compressed) noexcept
{
    const uint64_t taken = chunk_bytes(header.compressed_bytes);
    if (taken < room) {
        const PaddingHeader rest = make_padding(room - taken);
        std::memcpy(at + taken, &rest, sizeof rest);
    }
    const uint64_t data_end = sizeof header + compressed.size();
    const PaddingHeader filler = make_padding(taken - data_end);
    std::memcpy(at + data_end, &filler, sizeof filler);
    std::memcpy(at + sizeof header, compressed.data(), compressed.size());
    std::memcpy(at + 8, reinterpret_cast<const std::byte*>(&header) + 8, sizeof header - 8);
    // Until here the padding frame at `at` covers all of it. The first 8 bytes turn it into the chunk in one store.
    uint64_t first = 0;
    std::memcpy(&first, &header, sizeof first);
    std::atomic_ref(*reinterpret_cast<uint64_t*>(at)).store(first, std::memory_order_release);
    return taken;
}

} // namespace leak::format
