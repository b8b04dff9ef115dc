#include "format/chunk.hpp"

#define ZSTD_STATIC_LINKING_ONLY // ZSTD_initStaticDCtx: a context in memory of ours
#include <zstd.h>

namespace leak::format {

size_t Decompressor::memory_bytes() noexcept
{
    return align8(ZSTD_estimateDCtxSize());
}

bool Decompressor::init(std::span<std::byte> memory) noexcept
{
    context_ = ZSTD_initStaticDCtx(memory.data(), memory.size());
    return context_ != nullptr;
}

const char* Decompressor::decompress(std::span<const std::byte> compressed, std::span<std::byte> plain) noexcept
{
    const size_t result =
        ZSTD_decompressDCtx(context_, plain.data(), plain.size(), compressed.data(), compressed.size());
    if (ZSTD_isError(result)) return ZSTD_getErrorName(result);
    return result == plain.size() ? nullptr : "it holds fewer bytes than its header says";
}

} // namespace leak::format
