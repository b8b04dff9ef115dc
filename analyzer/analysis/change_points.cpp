#include "analyzer/analysis/change_points.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

namespace leak::analyzer {

namespace {

constexpr double kOutlier = 3;           // from so many standard deviations on, a value costs no more
constexpr double kNormalMedian = 0.6745; // median of the absolute values of a standard normal variable
constexpr int kRefinements = 3;

[[nodiscard]] double median_of(std::vector<double>& values)
{
    const auto middle = values.begin() + static_cast<ptrdiff_t>(values.size() / 2);
    std::ranges::nth_element(values, middle);
    return *middle;
}

struct Fit {
    double level = 0;
    double loss = 0;
};

// The level of least loss, found from the median on: the mean of those that are no outliers from it.
[[nodiscard]] Fit fit(std::span<const double> values, double bound, std::vector<double>& scratch)
{
    scratch.assign(values.begin(), values.end());
    double level = median_of(scratch);
    for (int i = 0; i < kRefinements; ++i) {
        double sum = 0;
        size_t count = 0;
        for (const double value : values) {
            const bool is_inlier = std::abs(value - level) < bound;
            sum += is_inlier ? value : 0;
            count += is_inlier;
        }
        if (count == 0) break;
        level = sum / static_cast<double>(count);
    }
    double loss = 0;
    for (const double value : values) loss += std::min((value - level) * (value - level), bound * bound);
    return {level, loss};
}

} // namespace

double noise_of(std::span<const double> values, double least)
{
    if (values.size() < 2) return least;
    std::vector<double> steps;
    for (size_t i = 1; i < values.size(); ++i) steps.push_back(std::abs(values[i] - values[i - 1]));
    return std::max(least, median_of(steps) / (kNormalMedian * std::numbers::sqrt2));
}

std::vector<LevelSegment> find_level_segments(std::span<const double> values, double noise)
{
    const size_t n = values.size();
    const double bound = kOutlier * noise;
    const double penalty = 2 * noise * noise * std::log(static_cast<double>(std::max<size_t>(n, 2))) + bound * bound;
    struct Best {
        double loss = std::numeric_limits<double>::infinity();
        size_t begin = 0;
        double level = 0;
    };
    std::vector<Best> best(n + 1); // of the values before i
    best[0].loss = -penalty;
    std::vector<double> scratch;
    std::vector<size_t> begins; // that may still begin a segment of the best partition
    std::vector<double> losses;
    for (size_t end = 1; end <= n; ++end) {
        begins.push_back(end - 1);
        losses.clear();
        for (const size_t begin : begins) {
            const Fit segment = fit(values.subspan(begin, end - begin), bound, scratch);
            losses.push_back(best[begin].loss + segment.loss);
            const double loss = losses.back() + penalty;
            if (loss < best[end].loss) best[end] = {loss, begin, segment.level};
        }
        // As in PELT (Killick, Fearnhead and Eckley, JASA 2012): what costs more without the penalty never wins again.
        size_t kept = 0;
        for (size_t i = 0; i < begins.size(); ++i)
            if (losses[i] < best[end].loss) begins[kept++] = begins[i];
        begins.resize(kept);
    }
    std::vector<LevelSegment> segments;
    for (size_t end = n; end > 0; end = best[end].begin) segments.push_back({best[end].begin, end, best[end].level});
    std::ranges::reverse(segments);
    return segments;
}

LevelSplit split_levels(std::span<const LevelSegment> segments)
{
    std::vector<LevelSegment> sorted(segments.begin(), segments.end());
    std::ranges::sort(sorted, {}, &LevelSegment::level);
    double all = 0, all_sum = 0;
    for (const LevelSegment& segment : sorted) {
        const auto length = static_cast<double>(segment.end - segment.begin);
        all += length;
        all_sum += length * segment.level;
    }
    LevelSplit split;
    double most = 0, low = 0, low_sum = 0;
    for (size_t i = 0; i + 1 < sorted.size(); ++i) {
        const auto length = static_cast<double>(sorted[i].end - sorted[i].begin);
        low += length;
        low_sum += length * sorted[i].level;
        const double distance = (all_sum - low_sum) / (all - low) - low_sum / low;
        const double between = low * (all - low) * distance * distance;
        if (between <= most) continue;
        most = between;
        split = {(sorted[i].level + sorted[i + 1].level) / 2, distance};
    }
    return split;
}

} // namespace leak::analyzer
