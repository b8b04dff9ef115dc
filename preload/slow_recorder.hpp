// What the quick ways of an event leave: the thread's first event, code or memory not seen before, a full buffer.
#pragma once

#include "format/event_rows.hpp"
#include "preload/stack_walk.hpp"

#include <cstdint>

namespace leak::preload {

// Records the event at the nesting level that the caller has entered, or counts it as lost. hook: where a stack is to
// be taken, and not the one that the stream's walk has just made the current one. errno survives. Runs on a stack of
// our own, because the host's may be small.
void record_slowly(uint32_t level, format::EventFields event, HookFrame hook, bool has_stack_already) noexcept;

} // namespace leak::preload
