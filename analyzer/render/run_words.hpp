// How a traced process went, in words, and what its trace lacks: shared by the text reports.
//
// Pure functions, any thread.
#pragma once

#include "analyzer/replay/trace_model.hpp"

#include <string>
#include <vector>

namespace leak::analyzer {

// "exited with status 0", "killed or crashed", "still running", ...
[[nodiscard]] std::string end_words(const TraceInfo& info);

// The process was over in its own time: what is unfreed then is left behind, not in use.
[[nodiscard]] bool ended_normally(const TraceInfo& info);

// "orderd (pid 4711, 6 h 12 min, exited with status 0)".
[[nodiscard]] std::string run_words(const TraceInfo& info);

// "8.00 MiB, events since 1.2 s, live blocks and totals since the start", "unbounded".
[[nodiscard]] std::string ring_words(const TraceInfo& info);

// Everything that limits what a report can say, one sentence each; empty: nothing does.
[[nodiscard]] std::vector<std::string> missing_words(const TraceInfo& info);

} // namespace leak::analyzer
