// Records events: from a hook's arguments to bytes in the thread's raw buffer.
//
// Called by every hook on the host's thread. errno survives. What can't be recorded is counted.
#pragma once

#include "format/event.hpp"
#include "preload/stack_walk.hpp"

#include <cstddef>
#include <cstdint>

namespace leak::preload {

// `block` was just given out. hook: the frame of the hook, whose caller is the innermost frame to be shown.
// alignment_log2: what the caller asked for, 0 when nothing special. Returns `block`, so that a hook can end with a
// tail call: a processor foretells some 16 returns, and every call nested in ours costs the host one of them.
void* record_allocation(format::EventKind kind, void* block, size_t bytes, HookFrame hook,
                        uint8_t alignment_log2 = 0) noexcept;

// `block` is about to be released. False: its allocation was not recorded (LEAK_SAMPLE), so nothing is.
bool record_release(format::EventKind kind, const void* block) noexcept;

// [start, start + bytes) was just mapped; flags: format::kMap....
void record_mapping(format::EventKind kind, const void* start, size_t bytes, HookFrame hook, uint8_t flags) noexcept;

// [start, start + bytes) is about to be unmapped.
void record_unmapping(format::EventKind kind, const void* start, size_t bytes) noexcept;

// The call announced by the thread's last release or unmapping, which was recorded, failed.
void record_undo(format::EventKind kind, const void* start) noexcept;

} // namespace leak::preload
