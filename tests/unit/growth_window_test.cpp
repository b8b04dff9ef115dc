#include "analyzer/analysis/growth_window.hpp"
#include "analyzer/cli/follow.hpp"

#include <doctest/doctest.h>

using namespace leak::analyzer;

namespace {

constexpr int64_t kSecond = 1'000'000'000;

[[nodiscard]] std::vector<LiveAmount> amounts(uint64_t first, uint64_t second)
{
    return {{first, 1}, {second, 1}};
}

} // namespace

TEST_CASE("without a window growth is since the first look")
{
    GrowthWindow growth;
    CHECK(growth.growth(StackId{0}, 5) == 0);
    growth.look(100 * kSecond, amounts(10, 20));
    growth.look(200 * kSecond, amounts(30, 5));
    CHECK(growth.growth(StackId{0}, 30) == 20);
    CHECK(growth.growth(StackId{1}, 5) == -15);
    CHECK(growth.growth(StackId{2}, 7) == 7); // not there then
    CHECK(growth.span_ns() == 100 * kSecond);
}

TEST_CASE("a window slides")
{
    GrowthWindow growth(10 * kSecond);
    for (int64_t second = 0; second <= 100; ++second) {
        growth.look(second * kSecond, amounts(static_cast<uint64_t>(second) * 5, 0));
        const int64_t span = second < 10 ? second : 10;
        CHECK(growth.span_ns() == span * kSecond);
        CHECK(growth.growth(StackId{0}, static_cast<uint64_t>(second) * 5) == span * 5);
    }
    for (int64_t tick = 1; tick <= 1000; ++tick) growth.look(100 * kSecond + tick * kSecond / 50, amounts(0, 0));
    CHECK(growth.span_ns() >= 10 * kSecond);
    CHECK(growth.span_ns() <= 10 * kSecond + kSecond / 2); // looks in between are not kept
}

TEST_CASE("who reads a running process takes a tenth of a core at most")
{
    using namespace std::chrono_literals;
    const auto pause = [](RefreshPace::Clock::duration took, RefreshPace::Clock::duration work) {
        return RefreshPace::from_begin_to_begin(2s, took, work);
    };
    CHECK(pause(10ms, 10ms) == 2s);
    CHECK(pause(200ms, 200ms) == 2s);
    CHECK(pause(1s, 1s) == 10s);
    CHECK(pause(5s, 1s) == 14s);   // it waited for a core itself
    CHECK(pause(20s, 20s) == 80s); // there is more to read the longer it waits
}
