// Whether a series rises, and how fast, without supposing a distribution.
//
// Pure functions, any thread; O(n^2): for some dozens of values.
#pragma once

#include <span>
#include <vector>

namespace leak::analyzer {

struct Trend {
    double p_value = 1;   // of so much rise by chance (Mann 1945, Kendall 1975; one-sided, corrected for ties)
    double slope = 0;     // the median of all pairs' slopes (Theil 1950, Sen 1968), per unit of `at`
    double slope_low = 0; // its confidence interval of 95 %
    double slope_high = 0;
};

// values[i] at at[i], which never decreases; pairs of one moment have no slope.
[[nodiscard]] Trend trend_of(std::span<const double> at, std::span<const double> values);

// From each place on the least value that follows, itself included: what is never given back any more.
[[nodiscard]] std::vector<double> floor_of(std::span<const double> values);

} // namespace leak::analyzer
