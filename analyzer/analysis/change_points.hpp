// Where the level of a noisy series changes.
//
// Optimal partitioning by dynamic programming (Jackson et al., IEEE Signal Processing Letters 2005) with the biweight
// loss of Fearnhead and Rigaill, "Changepoint Detection in the Presence of Outliers" (JASA 2019): a value costs the
// square of its distance from its segment's level, but never more than a bound, so that a burst that is shorter than a
// few values is an outlier and no change. Pure functions, any thread; O(n^3) with a small constant: for some hundred
// values.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace leak::analyzer {

struct LevelSegment {
    size_t begin = 0; // of the values
    size_t end = 0;   // one past
    double level = 0;
};

// The standard deviation of the noise, from the median of the differences of neighbours, so that neither changes nor
// outliers count; at least `least`.
[[nodiscard]] double noise_of(std::span<const double> values, double least);

// noise: a standard deviation, > 0. A value counts as an outlier from 3 of them on.
[[nodiscard]] std::vector<LevelSegment> find_level_segments(std::span<const double> values, double noise);

// The threshold between two classes of levels that leaves the least variance within them (Otsu, 1979), each weighted by
// its length; the distance of the classes' means. Distance 0: there is but one level.
struct LevelSplit {
    double threshold = 0;
    double distance = 0;
};
[[nodiscard]] LevelSplit split_levels(std::span<const LevelSegment> segments);

} // namespace leak::analyzer
