#include "format/checksum.hpp"
#include "format/chunk.hpp"

#define ZSTD_STATIC_LINKING_ONLY // ZSTD_initStaticCCtx: a context in memory of ours
#include <zstd.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <iterator>
#include <new>

namespace leak::format {

namespace {

// The columns are compressed as three zstd frames, one behind the other. In stamps there is little to be found twice:
// there only the shares of the bytes count, and looking for more would take half of the time.
struct FramePlan {
    uint32_t end; // the first column that is not in the frame
    bool searched;
};
constexpr FramePlan kFrames[] = {{1, true}, {2, false}, {kColumnCount, true}};
static_assert(static_cast<uint32_t>(Column::op) < 2 && static_cast<uint32_t>(Column::stamp) < 2);

constexpr size_t kEncoderBytes = align8(sizeof(EventEncoder));
constexpr size_t kColumnBytes = align8(EventEncoder::memory_bytes(kRawBufferBytes));
constexpr size_t kCompressedBytes =
    align8(ZSTD_COMPRESSBOUND(kColumnBytes) + kColumnCount * 16 + std::size(kFrames) * 32);
static_assert(EventEncoder::memory_bytes(kMaxRawBufferBytes) <= kMaxColumnBytes);

[[nodiscard]] ZSTD_compressionParameters parameters_of(int level) noexcept
{
    return ZSTD_getCParams(level, kRawBufferBytes, 0);
}

[[nodiscard]] size_t context_bytes(int level) noexcept
{
    return align8(ZSTD_estimateCStreamSize_usingCParams(parameters_of(level)));
}

bool set(ZSTD_CCtx* context, ZSTD_cParameter parameter, unsigned value) noexcept
{
    return !ZSTD_isError(ZSTD_CCtx_setParameter(context, parameter, static_cast<int>(value)));
}

bool set_up(ZSTD_CCtx* context, ZSTD_compressionParameters parameters, bool searched) noexcept
{
    if (!searched) {
        parameters.strategy = ZSTD_fast;
        parameters.hashLog = ZSTD_HASHLOG_MIN;
        parameters.targetLength = ZSTD_TARGETLENGTH_MAX; // for this strategy: bytes from one try to the next
    }
    return set(context, ZSTD_c_windowLog, parameters.windowLog) && set(context, ZSTD_c_chainLog, parameters.chainLog) &&
           set(context, ZSTD_c_hashLog, parameters.hashLog) && set(context, ZSTD_c_searchLog, parameters.searchLog) &&
           set(context, ZSTD_c_minMatch, parameters.minMatch) &&
           set(context, ZSTD_c_targetLength, parameters.targetLength) &&
           set(context, ZSTD_c_strategy, static_cast<unsigned>(parameters.strategy)) &&
           set(context, ZSTD_c_literalCompressionMode, searched ? ZSTD_lcm_auto : ZSTD_lcm_huffman) &&
           set(context, ZSTD_c_checksumFlag, 1);
}

// The host may have overwritten what lies in its memory: nothing is read beyond the buffer.
[[nodiscard]] std::span<const std::byte> rows_of(const RawBufferHeader& buffer, uint64_t written) noexcept
{
    const uint64_t most = std::clamp<uint64_t>(frame_bytes(buffer.frame), sizeof buffer, kRawBufferBytes);
    const uint64_t end = std::clamp<uint64_t>(rows_end(written), sizeof buffer, most);
    return {reinterpret_cast<const std::byte*>(&buffer + 1), end - sizeof buffer};
}

// All but what the events say.
[[nodiscard]] EventChunkHeader header_of(const RawBufferHeader& buffer, FrameKind kind) noexcept
{
    EventChunkHeader header{};
    header.frame = make_frame(kind, sizeof header);
    header.thread_index = buffer.thread_index;
    header.level = buffer.level;
    header.stream_sequence = buffer.stream_sequence;
    header.base_stamp = buffer.base_stamp;
    return header;
}

void complete(EventChunkHeader& header, size_t compressed_bytes) noexcept
{
    header.compressed_bytes = static_cast<uint32_t>(compressed_bytes);
    header.checksum = checksum(&header, offsetof(EventChunkHeader, checksum));
}

} // namespace

size_t ChunkCompressor::memory_bytes(int level) noexcept
{
    return context_bytes(level) + kEncoderBytes + kColumnBytes + kCompressedBytes;
}

bool ChunkCompressor::init(std::span<std::byte> memory, int level) noexcept
{
    const size_t bytes = context_bytes(level);
    if (memory.size() < memory_bytes(level)) return false;
    level_ = level;
    context_ = ZSTD_initStaticCCtx(memory.data(), bytes);
    encoder_ = new (memory.data() + bytes) EventEncoder;
    columns_ = memory.subspan(bytes + kEncoderBytes, kColumnBytes);
    compressed_ = memory.subspan(bytes + kEncoderBytes + kColumnBytes, kCompressedBytes);
    return context_ != nullptr && set_up(context_, parameters_of(level), true);
}

std::span<const std::byte> ChunkCompressor::compress(const RawBufferHeader& buffer, EventChunkHeader& header) noexcept
{
    header = header_of(buffer, FrameKind::events);
    encoder_->begin(columns_, kRawBufferBytes, header.base_stamp);
    const uint64_t written = buffer.written;
    (void)encoder_->append_all({rows_of(buffer, written), row_count(written), header.base_stamp});
    header.last_stamp = encoder_->last_stamp();
    header.event_count = encoder_->event_count();
    for (uint32_t i = 0; i < kColumnCount; ++i)
        header.column_bytes[i] = static_cast<uint32_t>(encoder_->column(i).size());
    ZSTD_outBuffer out{compressed_.data(), compressed_.size(), 0};
    uint32_t c = 0;
    for (const FramePlan& frame : kFrames) {
        ZSTD_CCtx_reset(context_, ZSTD_reset_session_only);
        if (!set_up(context_, parameters_of(level_), frame.searched)) return {};
        uint64_t all = 0;
        for (uint32_t i = c; i < frame.end; ++i) all += header.column_bytes[i];
        if (ZSTD_isError(ZSTD_CCtx_setPledgedSrcSize(context_, all))) return {};
        for (; c < frame.end; ++c) {
            // Blocks of its own for each column, so that each has the entropy tables that suit it: 12 % less.
            ZSTD_inBuffer in{encoder_->column(c).data(), header.column_bytes[c], 0};
            const ZSTD_EndDirective directive = c + 1 == frame.end ? ZSTD_e_end : ZSTD_e_flush;
            if (ZSTD_compressStream2(context_, &out, &in, directive) != 0) return {};
        }
    }
    complete(header, out.pos);
    return compressed_.first(out.pos);
}

ChunkFrames ChunkCompressor::store(const RawBufferHeader& buffer, uint64_t last_stamp,
                                   EventChunkHeader& header) noexcept
{
    header = header_of(buffer, FrameKind::event_rows);
    const uint64_t written = buffer.written;
    const std::span<const std::byte> rows = rows_of(buffer, written);
    header.last_stamp = std::max(last_stamp, header.base_stamp);
    header.event_count = static_cast<uint32_t>(std::min<uint64_t>(row_count(written), rows.size() / kMinRowBytes));
    header.column_bytes[0] = static_cast<uint32_t>(rows.size());
    stored_ = StoredFrame(rows);
    const ChunkFrames frames(stored_, rows);
    complete(header, frames.bytes());
    return frames;
}

ChunkTail chunk_tail(uint64_t data_bytes, uint64_t taken, uint64_t room) noexcept
{
    ChunkTail tail{};
    const PaddingHeader filler = make_padding(taken - data_bytes);
    std::memcpy(tail.bytes.data(), &filler, sizeof filler);
    tail.used = taken - data_bytes;
    if (taken == room) return tail;
    const PaddingHeader rest = make_padding(room - taken);
    std::memcpy(tail.bytes.data() + tail.used, &rest, sizeof rest);
    tail.used += sizeof rest;
    return tail;
}

void publish_chunk(std::byte* at, const std::byte* first) noexcept
{
    uint64_t value = 0;
    static_assert(sizeof value == kPublishedBytes);
    std::memcpy(&value, first, sizeof value);
    std::atomic_ref(*reinterpret_cast<uint64_t*>(at)).store(value, std::memory_order_release);
}

} // namespace leak::format
