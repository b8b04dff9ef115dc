// A live block as the fold keeps it: 32 bytes.
#pragma once

#include "format/carried.hpp"

#include <cstdint>

namespace leak::preload {

struct FoldBlock {
    static constexpr uint64_t kMostBytes = (uint64_t{1} << 48) - 1; // no block is larger: user space has 47 bits

    uint64_t address;
    uint64_t bytes : 48;
    uint64_t kind : 8; // format::EventKind; none: no block
    uint64_t alignment_log2 : 8;
    uint64_t stamp;
    uint32_t stack; // number of a node of the stack tree
    uint32_t thread : 31;
    uint32_t truncated : 1;

    [[nodiscard]] format::EventKind event_kind() const noexcept { return static_cast<format::EventKind>(kind); }
    [[nodiscard]] format::CarriedBlock carried() const noexcept
    {
        return {address,       bytes, stamp, stack, thread, event_kind(), static_cast<uint8_t>(alignment_log2),
                truncated != 0};
    }
};
static_assert(sizeof(FoldBlock) == 32);

} // namespace leak::preload
