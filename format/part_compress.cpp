#include "format/chunk.hpp"

#define ZSTD_STATIC_LINKING_ONLY // ZSTD_initStaticCCtx: a context in memory of ours
#include <zstd.h>

namespace leak::format {

namespace {

constexpr size_t kCompressedBytes = align8(ZSTD_COMPRESSBOUND(kMaxPartBytes));

[[nodiscard]] size_t context_bytes(int level) noexcept
{
    return align8(ZSTD_estimateCCtxSize_usingCParams(ZSTD_getCParams(level, kMaxPartBytes, 0)));
}

} // namespace

size_t PartCompressor::memory_bytes(int level) noexcept
{
    return context_bytes(level) + kCompressedBytes;
}

bool PartCompressor::init(std::span<std::byte> memory, int level) noexcept
{
    const size_t context = context_bytes(level);
    if (memory.size() < context + kCompressedBytes) return false;
    compressed_ = memory.subspan(context, kCompressedBytes);
    context_ = ZSTD_initStaticCCtx(memory.data(), context);
    if (context_ == nullptr) return false;
    const ZSTD_compressionParameters parameters = ZSTD_getCParams(level, kMaxPartBytes, 0);
    const auto set = [this](ZSTD_cParameter parameter, unsigned value) {
        return !ZSTD_isError(ZSTD_CCtx_setParameter(context_, parameter, static_cast<int>(value)));
    };
    return set(ZSTD_c_windowLog, parameters.windowLog) && set(ZSTD_c_chainLog, parameters.chainLog) &&
           set(ZSTD_c_hashLog, parameters.hashLog) && set(ZSTD_c_searchLog, parameters.searchLog) &&
           set(ZSTD_c_minMatch, parameters.minMatch) && set(ZSTD_c_targetLength, parameters.targetLength) &&
           set(ZSTD_c_strategy, static_cast<unsigned>(parameters.strategy)) && set(ZSTD_c_checksumFlag, 1);
}

std::span<const std::byte> PartCompressor::compress(std::span<const std::byte> plain) noexcept
{
    const size_t result = ZSTD_compress2(context_, compressed_.data(), compressed_.size(), plain.data(), plain.size());
    if (ZSTD_isError(result)) return {};
    return compressed_.first(result);
}

} // namespace leak::format
