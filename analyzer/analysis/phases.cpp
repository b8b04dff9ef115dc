#include "analyzer/analysis/phases.hpp"

#include "analyzer/analysis/change_points.hpp"

#include <algorithm>
#include <cmath>

namespace leak::analyzer {

namespace {

constexpr size_t kBins[] = {480, 240, 120, 60}; // finest first
constexpr double kLeastNoise = 0.3;             // of the logarithm to base 2
constexpr double kLeastDistance = 2;            // between load and idle: a factor of 4
constexpr double kNoiseDistance = 3;            // the same in noise
constexpr double kShortestShare = 0.015;        // of the run: a phase
constexpr double kStartupShare = 0.5;           // of the loads that follow: what is shorter may be start-up
constexpr double kLongestExit = 0.2;            // of the run
constexpr int64_t kQuietNs = 20'000'000;        // before an exit, or a hundredth of the run: no event for so long
constexpr int64_t kQuietAtEnd = 3;              // times as long, behind its last event: where processors are short

// -- The end ---------------------------------------------------------------------------------------------------------

// When the program began to take itself down: from there on it releases and hardly allocates, to the end.
[[nodiscard]] int64_t exit_from(const Run& run)
{
    if (!run.ended_normally) return run.end_ns;
    const int64_t quiet = std::max(kQuietNs, run.end_ns / 100);
    int64_t from = run.end_ns;
    for (size_t i = run.heap.size(); i-- > 1;) {
        const HistorySample& before = run.heap[i - 1];
        const HistorySample& after = run.heap[i];
        if (from - after.at_ns > (from == run.end_ns ? kQuietAtEnd * quiet : quiet)) break;
        const auto events = static_cast<double>(static_cast<int64_t>(after.events - before.events));
        const auto change = static_cast<double>(static_cast<int64_t>(after.live_blocks - before.live_blocks));
        const double allocations = (events + change) / 2, releases = (events - change) / 2;
        if (releases > 4 * allocations) from = after.at_ns - run.tick_ns;
    }
    const bool is_short = static_cast<double>(run.end_ns - from) <= kLongestExit * static_cast<double>(run.end_ns);
    return is_short ? std::max<int64_t>(from, 0) : run.end_ns;
}

[[nodiscard]] double rate_per_s(const Curve& heap, int64_t from_ns, int64_t to_ns)
{
    if (to_ns <= from_ns) return 0;
    return static_cast<double>(allocations_in(heap, from_ns, to_ns)) * 1e9 / static_cast<double>(to_ns - from_ns);
}

// Cuts phases to [0, exit), says their rates, and adds the exit.
[[nodiscard]] std::vector<Phase> finished(const Run& run, std::vector<Phase> phases, int64_t exit_ns)
{
    std::erase_if(phases, [&](const Phase& phase) { return phase.from_ns >= exit_ns; });
    for (Phase& phase : phases) phase.to_ns = std::min(phase.to_ns, exit_ns);
    std::erase_if(phases, [](const Phase& phase) { return phase.to_ns <= phase.from_ns; });
    if (exit_ns < run.end_ns) phases.push_back({.kind = PhaseKind::exit, .from_ns = exit_ns, .to_ns = run.end_ns});
    if (phases.empty()) phases.push_back({.kind = PhaseKind::load, .from_ns = 0, .to_ns = run.end_ns});
    for (Phase& phase : phases) phase.rate_per_s = rate_per_s(run.heap, phase.from_ns, phase.to_ns);
    return phases;
}

// -- Load and idle ---------------------------------------------------------------------------------------------------

// [0, end_ns) in equal bins.
struct Grid {
    size_t bins;
    int64_t end_ns;

    [[nodiscard]] int64_t at(size_t i) const
    {
        return static_cast<int64_t>(static_cast<double>(end_ns) * static_cast<double>(i) / static_cast<double>(bins));
    }
};

// How many neighbours are of one class.
struct Stretch {
    bool is_load;
    size_t begin, end;
};

// Of load and idle, bin by bin; empty: there is but one level.
[[nodiscard]] std::vector<Stretch> stretches_of(const Curve& heap, const Grid& grid)
{
    std::vector<double> values;
    for (size_t i = 0; i < grid.bins; ++i) {
        const uint64_t count = allocations_in(heap, grid.at(i), grid.at(i + 1));
        values.push_back(std::log2(1.0 + static_cast<double>(count)));
    }
    const double noise = noise_of(values, kLeastNoise);
    const std::vector<LevelSegment> segments = find_level_segments(values, noise);
    const double least = std::max(kLeastDistance, kNoiseDistance * noise);
    LevelSplit split = split_levels(segments);
    if (split.distance < least) return {};
    // Silence before the load outweighs what is between load and a busy idle: what ends far below the rest of the load
    // has stopped.
    while (segments.back().level > split.threshold) {
        std::vector<LevelSegment> busy;
        for (const LevelSegment& segment : segments)
            if (segment.level > split.threshold) busy.push_back(segment);
        const LevelSplit upper = split_levels(busy);
        if (upper.distance < least || segments.back().level > upper.threshold) break;
        split = upper;
    }
    std::vector<Stretch> stretches;
    for (const LevelSegment& segment : segments) {
        const bool is_load = segment.level > split.threshold;
        if (!stretches.empty() && stretches.back().is_load == is_load)
            stretches.back().end = segment.end;
        else
            stretches.push_back({is_load, segment.begin, segment.end});
    }
    return stretches;
}

// Gives those that are too short to their neighbours, the shortest first.
void absorb(std::vector<Stretch>& stretches, size_t shortest)
{
    const auto length = [](const Stretch& stretch) { return stretch.end - stretch.begin; };
    while (stretches.size() > 1) {
        const auto least = std::ranges::min_element(stretches, {}, length);
        if (length(*least) >= shortest) return;
        const auto from = least == stretches.begin() ? least : std::prev(least);
        const auto behind = std::next(least) == stretches.end() ? std::next(least) : std::next(least, 2);
        const bool is_load = !least->is_load;
        *from = {is_load, from->begin, std::prev(behind)->end};
        stretches.erase(std::next(from), behind);
    }
}

// Of the moments around `border`, the one that best divides what has one Poisson rate from what has another: where the
// cumulated log-likelihood ratio is highest (Page 1954).
[[nodiscard]] int64_t refined(const Curve& heap, int64_t border, int64_t reach, double rate_before, double rate_after)
{
    constexpr int kSteps = 200;
    const double least = 0.01;
    const double before = std::max(rate_before, least), after = std::max(rate_after, least);
    const double per_event = std::log(before / after);
    int64_t best_at = border;
    double best = -std::numeric_limits<double>::infinity();
    const int64_t begin = std::max<int64_t>(border - reach, 0);
    const int64_t step = (border + reach - begin) / kSteps;
    for (int i = 0; i <= kSteps; ++i) {
        const int64_t at = begin + step * i;
        const auto events = static_cast<double>(allocations_in(heap, begin, at));
        const double likelihood = events * per_event - (before - after) * static_cast<double>(at - begin) / 1e9;
        if (likelihood > best) best = likelihood, best_at = at;
    }
    return best_at;
}

void find_startup(std::vector<Phase>& phases)
{
    if (phases.size() < 3 || phases.front().kind != PhaseKind::load) return;
    int64_t longest = 0;
    for (const Phase& phase : std::span(phases).subspan(1))
        if (phase.kind == PhaseKind::load) longest = std::max(longest, phase.to_ns - phase.from_ns);
    if (static_cast<double>(phases.front().to_ns) < kStartupShare * static_cast<double>(longest))
        phases.front().kind = PhaseKind::startup;
}

// Neither beyond the grid nor beyond the borders beside it.
void refine(std::vector<Phase>& phases, const Curve& heap, const Grid& grid)
{
    for (size_t i = 0; i + 1 < phases.size(); ++i) {
        Phase& before = phases[i];
        Phase& after = phases[i + 1];
        const int64_t border = before.to_ns;
        const int64_t reach = std::min({3 * grid.at(1), (border - before.from_ns) / 2, (after.to_ns - border) / 2});
        const int64_t moved = refined(heap, border, reach, rate_per_s(heap, before.from_ns, border),
                                      rate_per_s(heap, border, after.to_ns));
        before.to_ns = after.from_ns = moved;
    }
}

} // namespace

uint64_t allocations_in(const Curve& curve, int64_t from_ns, int64_t to_ns)
{
    const auto twice = [&](int64_t at_ns) {
        const HistorySample state = state_at(curve, at_ns);
        return state.events + state.live_blocks; // allocations, twice
    };
    const uint64_t before = twice(from_ns), after = twice(to_ns);
    return after > before ? (after - before) / 2 : 0;
}

std::vector<Phase> phases_of(const Run& run, std::span<const Mark> marks, const std::vector<Phase>& said)
{
    if (!said.empty()) return phases_of_options(run, said);
    if (auto phases = phases_of_marks(run, marks)) return std::move(*phases);
    return find_phases(run);
}

std::vector<Phase> find_phases(const Run& run)
{
    const int64_t exit_ns = exit_from(run);
    std::vector<Phase> phases;
    for (const size_t bins : kBins) {
        const Grid grid{bins, exit_ns};
        if (grid.at(1) < 2 * run.tick_ns && bins != std::end(kBins)[-1]) continue;
        std::vector<Stretch> stretches = stretches_of(run.heap, grid);
        const size_t before = stretches.size();
        absorb(stretches, std::max<size_t>(2, static_cast<size_t>(kShortestShare * static_cast<double>(bins))));
        phases.clear();
        for (const Stretch& stretch : stretches)
            phases.push_back({.kind = stretch.is_load ? PhaseKind::load : PhaseKind::idle,
                              .from_ns = grid.at(stretch.begin),
                              .to_ns = grid.at(stretch.end)});
        refine(phases, run.heap, grid);
        // Load that comes in portions looks, through too fine a grid, like many phases.
        const bool is_clean = before <= 2 * stretches.size();
        if (phases.size() > 1 && is_clean) break;
    }
    if (phases.size() < 2) phases = {{.kind = PhaseKind::load, .from_ns = 0, .to_ns = exit_ns}};
    find_startup(phases);
    return finished(run, std::move(phases), exit_ns);
}

std::optional<std::vector<Phase>> phases_of_marks(const Run& run, std::span<const Mark> marks)
{
    std::vector<Phase> phases;
    for (const Mark& mark : marks) {
        const bool is_start = mark.text == "load start";
        if (!is_start && mark.text != "load stop") continue;
        if (phases.empty())
            phases.push_back({.kind = is_start ? PhaseKind::idle : PhaseKind::load, .source = PhaseSource::marks});
        phases.back().to_ns = mark.at_ns;
        phases.push_back({.kind = is_start ? PhaseKind::load : PhaseKind::idle,
                          .from_ns = mark.at_ns,
                          .to_ns = run.end_ns,
                          .source = PhaseSource::marks});
    }
    if (phases.empty()) return std::nullopt;
    // What was before the first start may have been work too: it is said to be start-up.
    if (phases.front().kind == PhaseKind::idle) phases.front().kind = PhaseKind::startup;
    return finished(run, std::move(phases), exit_from(run));
}

std::vector<Phase> phases_of_options(const Run& run, std::vector<Phase> said)
{
    std::ranges::sort(said, {}, &Phase::from_ns);
    for (Phase& phase : said) phase.source = PhaseSource::options;
    return finished(run, std::move(said), exit_from(run));
}

} // namespace leak::analyzer
