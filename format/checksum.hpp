// The checksum of headers and journal records: the low 32 bits of XXH64 with seed 0.
// (zstd's own frame checksum, which covers the compressed events, is the same function.)
//
// No allocation, safe in a hook.
#pragma once

#define XXH_INLINE_ALL
#define XXH_STATIC_LINKING_ONLY
#include <xxhash.h>

#include <cstddef>
#include <cstdint>

namespace leak::format {

[[nodiscard]] inline uint32_t checksum(const void* bytes, size_t count) noexcept
{
    return static_cast<uint32_t>(XXH64(bytes, count, 0));
}

// Checksum of a structure up to its own member `Member`.
#define LEAK_CHECKSUM_UP_TO(object, member) \
    ::leak::format::checksum(&(object), offsetof(std::remove_cvref_t<decltype(object)>, member))

} // namespace leak::format
