#include "format/chunk.hpp"

#include <zstd.h>

namespace leak::format {

ChunkDecompressor::ChunkDecompressor() : context_(ZSTD_createDCtx())
{
}

ChunkDecompressor::~ChunkDecompressor()
{
    ZSTD_freeDCtx(context_);
}

std::expected<void, std::string> ChunkDecompressor::decompress(std::span<const std::byte> compressed,
                                                               std::span<std::byte> columns)
{
    const size_t result =
        ZSTD_decompressDCtx(context_, columns.data(), columns.size(), compressed.data(), compressed.size());
    if (ZSTD_isError(result)) return std::unexpected(std::string(ZSTD_getErrorName(result)));
    if (result != columns.size()) return std::unexpected("it holds fewer bytes than its header says");
    return {};
}

} // namespace leak::format
