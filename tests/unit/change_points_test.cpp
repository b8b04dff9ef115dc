#include "analyzer/analysis/change_points.hpp"

#include <doctest/doctest.h>
#include <random>

using namespace leak::analyzer;

namespace {

// `level` for `count` values, with noise of the deviation 1.
void add(std::vector<double>& values, double level, size_t count, std::mt19937& random)
{
    std::normal_distribution<double> noise(level, 1);
    for (size_t i = 0; i < count; ++i) values.push_back(noise(random));
}

} // namespace

TEST_CASE("the noise is that of neighbours, whatever changes and outliers there are")
{
    std::mt19937 random(1);
    std::vector<double> values;
    for (int i = 0; i < 10; ++i) add(values, i * 20, 100, random);
    for (size_t i = 0; i < values.size(); i += 50) values[i] += 1000;
    CHECK(noise_of(values, 0.1) == doctest::Approx(1).epsilon(0.15));
    CHECK(noise_of({}, 0.1) == 0.1);
    CHECK(noise_of(std::vector<double>(50, 7), 0.1) == 0.1);
}

TEST_CASE("levels are found where they change")
{
    for (unsigned seed = 1; seed <= 20; ++seed) {
        std::mt19937 random(seed);
        std::vector<double> values;
        add(values, 3, 80, random);
        add(values, 11, 120, random);
        add(values, 5, 60, random);
        const auto segments = find_level_segments(values, 1);
        REQUIRE(segments.size() == 3);
        CHECK(segments[0].begin == 0);
        CHECK(std::abs(static_cast<int>(segments[0].end) - 80) <= 1);
        CHECK(std::abs(static_cast<int>(segments[1].end) - 200) <= 1);
        CHECK(segments[2].end == values.size());
        CHECK(segments[1].level == doctest::Approx(11).epsilon(0.05));
    }
}

TEST_CASE("bursts of a value or two are no change of level")
{
    std::mt19937 random(5);
    std::vector<double> values;
    add(values, 2, 200, random);
    for (size_t i = 20; i < values.size(); i += 20) values[i] = values[i + 1] = 15;
    const auto segments = find_level_segments(values, 1);
    REQUIRE(segments.size() == 1);
    CHECK(segments[0].level == doctest::Approx(2).epsilon(0.2));
}

TEST_CASE("two classes of levels are split where they differ most")
{
    const std::vector<LevelSegment> segments = {{0, 50, 2}, {50, 90, 12}, {90, 150, 3}, {150, 200, 11}};
    const LevelSplit split = split_levels(segments);
    CHECK(split.threshold > 3);
    CHECK(split.threshold < 11);
    CHECK(split.distance == doctest::Approx(9).epsilon(0.1));
    CHECK(split_levels(std::vector<LevelSegment>{{0, 50, 2}}).distance == 0);
    CHECK(find_level_segments({}, 1).empty());
}
