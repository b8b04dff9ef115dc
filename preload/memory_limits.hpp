// What bounds the memory of the process: its control groups and its address space.
//
// One thread at a time; no allocation, some system calls for each control group up to the root: not for a hook.
#pragma once

#include <cstdint>

namespace leak::preload {

struct MemoryLimits {
    static constexpr uint64_t kNone = UINT64_MAX;

    // The smallest of memory.max (version 1: memory.limit_in_bytes) of the process's control group and of its
    // ancestors, as far as they can be seen below /sys/fs/cgroup.
    uint64_t group_bytes = kNone;
    uint64_t address_space_bytes = kNone; // RLIMIT_AS
};

[[nodiscard]] MemoryLimits ask_memory_limits() noexcept;

} // namespace leak::preload
