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
[[nodiscard]] RowReader rows_of(const RawBufferHeader& buffer) noexcept
{
    const uint64_t most = std::clamp<uint64_t>(frame_bytes(buffer.frame), sizeof buffer, kRawBufferBytes);
    const uint64_t end = std::clamp<uint64_t>(rows_end(buffer.written), sizeof buffer, most);
    const std::span rows(reinterpret_cast<const std::byte*>(&buffer + 1), end - sizeof buffer);
    return {rows, row_count(buffer.written), buffer.base_stamp};
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
    encoder_->begin(columns_, kRawBufferBytes, buffer.base_stamp);
    (void)encoder_->append_all(rows_of(buffer));
    header = {};
    header.thread_index = buffer.thread_index;
    header.level = buffer.level;
    header.stream_sequence = buffer.stream_sequence;
    header.base_stamp = buffer.base_stamp;
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
    header.compressed_bytes = static_cast<uint32_t>(out.pos);
    header.frame = make_frame(FrameKind::events, sizeof(EventChunkHeader));
    header.checksum = checksum(&header, offsetof(EventChunkHeader, checksum));
    return compressed_.first(out.pos);
}

uint64_t detail::append_chunk(std::byte* at, uint64_t room, std::span<const std::byte> header,
                              std::span<const std::byte> compressed, uint64_t taken) noexcept
{
    if (taken < room) {
        const PaddingHeader rest = make_padding(room - taken);
        std::memcpy(at + taken, &rest, sizeof rest);
    }
    const uint64_t data_end = header.size() + compressed.size();
    const PaddingHeader filler = make_padding(taken - data_end);
    std::memcpy(at + data_end, &filler, sizeof filler);
    std::memcpy(at + header.size(), compressed.data(), compressed.size());
    std::memcpy(at + 8, header.data() + 8, header.size() - 8);
    // Until here the padding frame at `at` covers all of it. The first 8 bytes turn it into the chunk in one store.
    uint64_t first = 0;
    std::memcpy(&first, header.data(), sizeof first);
    std::atomic_ref(*reinterpret_cast<uint64_t*>(at)).store(first, std::memory_order_release);
    return taken;
}

} // namespace leak::format
