// Samples of what the kernel charged the process and its allocator held (FORMAT.md, section 9).
//
// Pure functions, any thread.
#pragma once

#include "analyzer/decode/damage_log.hpp"
#include "analyzer/decode/frame_walk.hpp"
#include "analyzer/decode/stamp_clock.hpp"
#include "analyzer/replay/trace_model.hpp"
#include "format/layout.hpp"

#include <vector>

namespace leak::analyzer {

// Adds the samples of a frame. One whose checksum is wrong is damage.
void read_samples(const FrameView& frame, std::vector<format::SampleRecord>& samples, DamageLog& damage);

// In order of time.
[[nodiscard]] std::vector<ProcessSample> process_samples(std::vector<format::SampleRecord> records,
                                                         const StampConverter& clock);

} // namespace leak::analyzer
