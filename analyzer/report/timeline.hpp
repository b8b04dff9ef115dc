// How memory went over the whole run: what the program held, overall and by stack, and beside it what its allocator
// and the kernel held.
//
// One thread.
#pragma once

#include "analyzer/analysis/phases.hpp"
#include "analyzer/replay/histories.hpp"
#include "analyzer/report/stack_sites.hpp"

#include <cstdint>
#include <vector>

namespace leak::analyzer {

struct StackCurve {
    std::vector<Frame> frames;
    uint64_t peak_bytes = 0; // at any time; the samples are of ticks' ends
    Curve samples;
};

struct Timeline {
    TraceInfo info;
    int64_t end_ns = 0;
    int64_t tick_ns = 0;               // how finely history is known
    Curve heap;                        // all heap blocks
    Curve mapped;                      // all mapped ranges
    std::vector<ProcessSample> memory; // kernel and allocator
    std::vector<StackCurve> stacks;    // those that held most at once, most first
    size_t all_stacks = 0;
    std::vector<Phase> phases;
};

// top: how many stacks.
[[nodiscard]] Timeline make_timeline(const ReplayResult& trace, Symbolizer& symbolizer, size_t top);

// `columns` moments that end with the run, evenly spaced.
[[nodiscard]] std::vector<int64_t> grid(const Timeline& timeline, size_t columns);

} // namespace leak::analyzer
