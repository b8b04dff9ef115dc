// The trace the golden files are made of. Never change what it makes: a new format version gets golden files of its own
// beside the old ones.
#pragma once

#include "tests/unit/trace_builder.hpp"

namespace leak::test {

// Two threads of /usr/bin/golden: chunks and raw buffers, every kind of event, each at its stamp in ns.
[[nodiscard]] TraceBuilder golden_trace(TraceLayout layout);

} // namespace leak::test
