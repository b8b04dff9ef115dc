// What became of a site's memory when the load stopped.
//
// The rules, as leakan-growth(1) words them; each looks at the site's live bytes, at moments that the result names, so
// that all numbers can be computed again. Pure functions, any thread.
#pragma once

#include "analyzer/analysis/phases.hpp"
#include "analyzer/analysis/trend.hpp"

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace leak::analyzer {

// Most worrying first.
enum class GrowthVerdict : uint8_t {
    growing,  // still rises while the program is idle
    ratchet,  // cycle after cycle of load and idle leaves more behind
    climbing, // rises steadily under a load that never stops
    held,     // most of what the load added is still there
    plateau,  // still there, but it had stopped rising although its callers' work went on: a cache that is full
    drained,  // given back
};

struct GrowthRules {
    double held_share = 0.5;             // of what the load added
    uint64_t material_bytes = 64 * 1024; // less is not worth a word
    double material_share = 0.01;        // nor is less than this part of what the site has
    double most_p_value = 0.01;
};

// A load phase and the idle phase behind it.
struct GrowthCycle {
    int64_t load_from_ns = 0;
    int64_t load_stop_ns = 0;
    int64_t idle_to_ns = 0;
    uint64_t bytes_before = 0;
    uint64_t bytes_at_stop = 0;
    uint64_t bytes_at_end = 0;                 // the least of the last tenth of the idle phase
    std::optional<GrowthVerdict> verdict = {}; // held or drained; nothing where the load added nothing material
};

// Live bytes at evenly spaced moments, both ends included, and how they rise.
struct GrowthTrend {
    int64_t from_ns = 0;
    int64_t to_ns = 0;
    std::vector<uint64_t> bytes;
    Trend trend; // per second
};

struct SiteGrowth {
    GrowthVerdict verdict = GrowthVerdict::drained;
    uint64_t bytes_before = 0;             // the first load
    uint64_t bytes_at_stop = 0;            // of the last load
    uint64_t bytes_at_end = 0;             // of the last idle phase, or of the run
    double slope_bytes_per_s = 0;          // of growing and climbing the trend's, of the others over the time of load
    double slope_bytes_per_load_event = 0; // by allocations of the whole program under load
    std::vector<GrowthCycle> cycles;
    std::optional<GrowthTrend> trend; // of the last idle phase, or of the load that never stops
};

// Load phases with an idle phase behind them, and their times.
[[nodiscard]] std::vector<GrowthCycle> cycles_of(std::span<const Phase> phases);

// The load that goes on to the end; nothing if it stopped.
[[nodiscard]] const Phase* endless_load(std::span<const Phase> phases);

// site: its live bytes. work: what its callers did; its allocations count. all: of the program. Nothing where nothing
// material happened.
[[nodiscard]] std::optional<SiteGrowth> judge_growth(const Curve& site, const Curve& work, const Curve& all,
                                                     std::span<const Phase> phases, const GrowthRules& rules);

} // namespace leak::analyzer
