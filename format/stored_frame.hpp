// A zstd data frame whose content is not compressed (RFC 8878, 3.1.1): one raw block, with a content checksum.
//
// No allocation, safe in the host.
#pragma once

#include "format/checksum.hpp"
#include "format/layout.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace leak::format {

// What lies around the content, which stays where it is.
struct StoredFrame {
    static constexpr size_t kMostBytes = 128 * 1024; // of content: what a block may have

    std::array<std::byte, 12> head{};
    std::array<std::byte, 4> tail{};

    StoredFrame() = default;
    // content: at most kMostBytes.
    explicit StoredFrame(std::span<const std::byte> content) noexcept
    {
        // Content size in 4 bytes, single segment (no window but the content), content checksum.
        constexpr uint8_t kDescriptor = 2 << 6 | 1 << 5 | 1 << 2;
        constexpr uint32_t kLastRawBlock = 1;
        const auto size = static_cast<uint32_t>(content.size());
        const uint32_t block = size << 3 | kLastRawBlock; // 3 bytes of it
        const uint32_t sum = checksum(content.data(), content.size());
        std::memcpy(head.data(), &kZstdMagic, 4);
        std::memcpy(head.data() + 4, &kDescriptor, 1);
        std::memcpy(head.data() + 5, &size, 4);
        std::memcpy(head.data() + 9, &block, 3);
        std::memcpy(tail.data(), &sum, tail.size());
    }
};
static_assert(kRawBufferBytes <= StoredFrame::kMostBytes);

} // namespace leak::format
