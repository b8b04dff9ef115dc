// What the tests of the replay share: from a built trace to its result.
#pragma once

#include "analyzer/replay/replay.hpp"
#include "tests/unit/trace_builder.hpp"

namespace leak::test {

[[nodiscard]] inline analyzer::ReplayResult replay(TraceBuilder& trace, const analyzer::ReplayOptions& options = {})
{
    const TempTrace file(trace.image());
    return analyzer::replay_trace(file.path(), options);
}

} // namespace leak::test
