#include "analyzer/analysis/trend.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <numbers>

namespace leak::analyzer {

namespace {

constexpr double kNormal95 = 1.96; // the two-sided quantile

// The variance of Kendall's S.
[[nodiscard]] double variance_of_s(std::span<const double> values)
{
    const auto term = [](double n) { return n * (n - 1) * (2 * n + 5); };
    std::map<double, size_t> ties;
    for (const double value : values) ++ties[value];
    double variance = term(static_cast<double>(values.size()));
    for (const auto& [value, count] : ties) variance -= term(static_cast<double>(count));
    return variance / 18;
}

} // namespace

Trend trend_of(std::span<const double> at, std::span<const double> values)
{
    std::vector<double> slopes;
    double s = 0;
    for (size_t i = 0; i < values.size(); ++i) {
        for (size_t j = i + 1; j < values.size(); ++j) {
            if (at[j] > at[i]) slopes.push_back((values[j] - values[i]) / (at[j] - at[i]));
            s += values[j] > values[i] ? 1 : values[j] < values[i] ? -1 : 0;
        }
    }
    const double variance = variance_of_s(values);
    if (slopes.empty() || variance <= 0) return {};
    std::ranges::sort(slopes);
    const double deviation = std::sqrt(variance);
    const double z = s > 0 ? (s - 1) / deviation : s < 0 ? (s + 1) / deviation : 0;
    const auto count = static_cast<double>(slopes.size());
    const auto rank = [&](double position) {
        return slopes[static_cast<size_t>(std::clamp(position, 0.0, count - 1))];
    };
    const double reach = kNormal95 * deviation;
    return {.p_value = std::erfc(z / std::numbers::sqrt2) / 2,
            .slope = (rank((count - 1) / 2) + rank(count / 2)) / 2,
            .slope_low = rank((count - reach) / 2 - 1),
            .slope_high = rank((count + reach) / 2)};
}

std::vector<double> floor_of(std::span<const double> values)
{
    std::vector<double> floor(values.begin(), values.end());
    for (size_t i = floor.size(); i-- > 1;) floor[i - 1] = std::min(floor[i - 1], floor[i]);
    return floor;
}

} // namespace leak::analyzer
