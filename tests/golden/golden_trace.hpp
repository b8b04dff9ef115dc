// The trace the golden files are made of. Never change what it makes: a new format version gets golden files of its own
// beside the old ones.
#pragma once

#include "tests/unit/trace_builder.hpp"

#include <functional>

namespace leak::test {

// Called after each event that was added; they come in the order of their stamps.
using AfterEvent = std::function<void(TraceBuilder& trace, uint32_t thread, const TestEvent& event)>;

// Two threads of /usr/bin/golden: chunks and raw buffers, every kind of event, each at its stamp in ns.
[[nodiscard]] TraceBuilder golden_trace(TraceLayout layout, const AfterEvent& after_event = {});

// The same, whose events up to 20,050 ns were folded: of chunks that are gone, of one that is still there, and of the
// first part of one.
[[nodiscard]] TraceBuilder wrapped_golden_trace(TraceLayout layout);

// The same, all of whose events were folded, and of which thread 1 has ended: its chunks, and its buffers as they were,
// are left over.
[[nodiscard]] TraceBuilder forgotten_golden_trace(TraceLayout layout);

// The same with a snapshot of its memory.
[[nodiscard]] TraceBuilder snapshot_golden_trace(TraceLayout layout);

// The same of a process that was killed: it did not say how it ended, and thread 1's third buffer was compressed and
// not yet freed.
[[nodiscard]] TraceBuilder killed_golden_trace(TraceLayout layout);

} // namespace leak::test
