// What the fold is told of a thread that has ended.
#pragma once

#include <cstdint>

namespace leak::preload {

// Recording nests when a signal handler interrupts it and allocates itself; deeper than this is counted as lost.
inline constexpr uint32_t kLevels = 3;

struct ThreadEnd {
    uint32_t thread;           // index
    uint64_t buffers[kLevels]; // that its streams filled, by level: those with events
};

} // namespace leak::preload
