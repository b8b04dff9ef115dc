#include "analyzer/analysis/trend.hpp"

#include <doctest/doctest.h>
#include <random>

using namespace leak::analyzer;

namespace {

[[nodiscard]] std::vector<double> seconds(size_t count)
{
    std::vector<double> at;
    for (size_t i = 0; i < count; ++i) at.push_back(static_cast<double>(i));
    return at;
}

} // namespace

TEST_CASE("Mann-Kendall and Theil-Sen say what a calculation by hand says")
{
    const std::vector<double> values = {5, 6, 11, 8, 10};
    const Trend trend = trend_of(seconds(5), values);
    // Of ten pairs eight rise and two fall: S = 6, its variance 50/3, z = 5 / 4.0825.
    CHECK(trend.p_value == doctest::Approx(0.1103).epsilon(0.01));
    // Slopes: -3, -0.5, 1, 1, 1, 1.25, 4/3, 2, 3, 5.
    CHECK(trend.slope == doctest::Approx(1.125));
    CHECK(trend.slope_low == doctest::Approx(-3));
    CHECK(trend.slope_high == doctest::Approx(5));
}

TEST_CASE("ties count neither way")
{
    const Trend flat = trend_of(seconds(40), std::vector<double>(40, 3.0));
    CHECK(flat.p_value == 1);
    CHECK(flat.slope == 0);
    // One step in the middle is a rise for Mann-Kendall, but Theil-Sen does not believe in it.
    std::vector<double> step(40, 3.0);
    std::fill(step.begin() + 20, step.end(), 1000.0);
    const Trend trend = trend_of(seconds(40), step);
    CHECK(trend.p_value < 0.001);
    CHECK(trend.slope_low == 0);
}

TEST_CASE("moments that are one have no slope between them")
{
    const Trend trend = trend_of(std::vector<double>{0, 0, 0, 1, 1}, std::vector<double>{1, 2, 3, 4, 5});
    CHECK(trend.slope == doctest::Approx(2.5));
    CHECK(trend_of(std::vector<double>(5, 1.0), std::vector<double>{1, 2, 3, 4, 5}).p_value == 1);
}

TEST_CASE("of series without a trend about one in a hundred has a p of less than 0.01")
{
    std::mt19937 random(3);
    std::normal_distribution<double> noise;
    const std::vector<double> at = seconds(40);
    int alarms = 0;
    for (int i = 0; i < 4000; ++i) {
        std::vector<double> values;
        for (size_t j = 0; j < at.size(); ++j) values.push_back(noise(random));
        alarms += trend_of(at, values).p_value < 0.01;
    }
    CHECK(alarms > 10);
    CHECK(alarms < 80);
}

TEST_CASE("the interval of the slope holds the true one")
{
    std::mt19937 random(4);
    std::normal_distribution<double> noise(0, 20);
    const std::vector<double> at = seconds(40);
    int held = 0;
    for (int i = 0; i < 400; ++i) {
        std::vector<double> values;
        for (const double moment : at) values.push_back(3 * moment + noise(random));
        const Trend trend = trend_of(at, values);
        held += trend.slope_low <= 3 && trend.slope_high >= 3;
    }
    CHECK(held >= 368); // 95 % of 400 less three deviations
}

TEST_CASE("a floor is what is never gone below any more")
{
    CHECK(floor_of(std::vector<double>{5, 1, 7, 3, 9}) == std::vector<double>{1, 1, 3, 3, 9});
    CHECK(floor_of({}).empty());
}
