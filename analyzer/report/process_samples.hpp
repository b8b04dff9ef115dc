// What kernel and allocator said of the process, moment by moment.
//
// Pure functions, any thread.
#pragma once

#include "analyzer/replay/replay.hpp"

#include <cstdint>
#include <span>

namespace leak::analyzer {

// The end of the run, as far as anything is known of it: its last event, or the last sample.
[[nodiscard]] int64_t end_of_run(const ReplayResult& trace);

// The latest of every figure up to `at_ns`; not every sample has all of them.
[[nodiscard]] ProcessSample sample_at(std::span<const ProcessSample> samples, int64_t at_ns);

} // namespace leak::analyzer
