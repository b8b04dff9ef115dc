// The phases of a run: when the program was under load, and when it was idle.
//
// They are found from the rate of allocations: the logarithm of how many there are in each of some hundred equal
// stretches of the run is cut where its level changes (change_points.hpp), its levels are split into high and low, and
// each border is then moved to the tick that divides the two rates best. Or the user says them. One thread.
#pragma once

#include "analyzer/replay/histories.hpp"
#include "analyzer/replay/trace_model.hpp"

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace leak::analyzer {

enum class PhaseKind : uint8_t {
    startup, // before the first idle time, much shorter than the load that comes later
    load,
    idle,
    exit, // the program takes itself down: what it releases now says nothing about its growth
};
enum class PhaseSource : uint8_t { found, marks, options };

struct Phase {
    PhaseKind kind = PhaseKind::load;
    int64_t from_ns = 0;
    int64_t to_ns = 0;
    double rate_per_s = 0; // of allocations
    PhaseSource source = PhaseSource::found;
};

struct Run {
    Curve heap; // all heap blocks
    int64_t end_ns = 0;
    int64_t tick_ns = 0;
    bool ended_normally = false;
};

// Heap allocations between two moments. Not exact to the last one where a block was replaced without a release, or in a
// sampled trace; never less than none.
[[nodiscard]] uint64_t allocations_in(const Curve& curve, int64_t from_ns, int64_t to_ns);

// As the user says them, else as marks say them, else as they are found.
[[nodiscard]] std::vector<Phase> phases_of(const Run& run, std::span<const Mark> marks, const std::vector<Phase>& said);

// From the start of the run to its end, without holes, in order of time; at least one. A program whose rate has but one
// level has one phase of load.
[[nodiscard]] std::vector<Phase> find_phases(const Run& run);

// As marks say them: load from each "load start" to the next "load stop", idle in between. Where the first of them is a
// stop the load began with the run. Nothing without such marks.
[[nodiscard]] std::optional<std::vector<Phase>> phases_of_marks(const Run& run, std::span<const Mark> marks);

// As the user says them, cut to the run, with the time when the program took itself down taken off.
[[nodiscard]] std::vector<Phase> phases_of_options(const Run& run, std::vector<Phase> said);

} // namespace leak::analyzer
