// From a replay to its result.
//
// One thread.
#pragma once

#include "analyzer/replay/replayer.hpp"

namespace leak::analyzer {

// What is live, totals and accounts, and what the trace lacks; after finish(), once. Everything else of `result` is
// left as it is.
void fill_result(const TraceContents& trace, Replayer& replayer, ReplayResult& result);

} // namespace leak::analyzer
