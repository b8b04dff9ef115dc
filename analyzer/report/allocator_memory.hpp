// Memory that belongs to the program's allocator: of it only what lies in live blocks is the program's, the rest is
// free, and pointers that were left behind there keep nothing alive.
//
// One thread.
#pragma once

#include "analyzer/analysis/pointer_graph.hpp"

#include <vector>

namespace leak::analyzer {

// The address behind the program's own module; glibc's main heap follows it. 0: not known.
[[nodiscard]] uint64_t end_of_program(const ReplayResult& trace);

// Of the trace's memory, which it must have. Nothing where blocks are unknown that may lie there (a sampled trace,
// gaps, recording that was off): then all of it may be the program's.
[[nodiscard]] AllocatorMemory allocator_memory(const ReplayResult& trace);

} // namespace leak::analyzer
