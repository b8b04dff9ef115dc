// A zstd data frame whose content is not compressed (RFC 8878, 3.1.1): one raw block, with a content checksum.
//
// No allocation, safe in the host.
#pragma once

#include "format/checksum.hpp"
#include "format/layout.hpp"

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace leak::format {

struct StoredFrame {
    static constexpr size_t kHeadBytes = 12;         // before the content
    static constexpr size_t kTailBytes = 4;          // behind it
    static constexpr size_t kMostBytes = 128 * 1024; // of content: what a block may have

    // Makes the frame around `bytes` of content, 1 to kMostBytes, that lie at frame + kHeadBytes already. Returns the
    // bytes of the frame.
    static size_t complete(std::byte* frame, size_t bytes) noexcept
    {
        // Content size in 4 bytes, single segment (no window but the content), content checksum.
        constexpr uint8_t kDescriptor = 2 << 6 | 1 << 5 | 1 << 2;
        constexpr uint32_t kLastRawBlock = 1;
        const auto size = static_cast<uint32_t>(bytes);
        const uint32_t block = size << 3 | kLastRawBlock; // 3 bytes of it
        const uint32_t sum = checksum(frame + kHeadBytes, bytes);
        std::memcpy(frame, &kZstdMagic, 4);
        std::memcpy(frame + 4, &kDescriptor, 1);
        std::memcpy(frame + 5, &size, 4);
        std::memcpy(frame + 9, &block, 3);
        std::memcpy(frame + kHeadBytes + bytes, &sum, kTailBytes);
        return kHeadBytes + bytes + kTailBytes;
    }
};
static_assert(kRawBufferBytes <= StoredFrame::kMostBytes);

} // namespace leak::format
