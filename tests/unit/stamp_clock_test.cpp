#include "analyzer/decode/stamp_clock.hpp"

#include "format/clock_pair.hpp"

#include <doctest/doctest.h>

using namespace leak::analyzer;
using leak::format::ClockPair;
using leak::format::FileHeader;
using leak::format::StampClock;

TEST_CASE("two clock pairs convert ticks to nanoseconds since the start")
{
    const StampConverter clock(ClockPair{1'000'000, 5'000'000'000}, ClockPair{4'000'000, 5'001'000'000});
    CHECK(clock.to_ns(1'000'000) == 0);
    CHECK(clock.to_ns(2'500'000) == 500'000 - 1); // rounded down: 1/3 ns a tick
    CHECK(clock.to_ns(1'000'003) <= 1);
    CHECK(clock.to_ns(400'000) < 0);
}

TEST_CASE("a week of ticks converts to the nanosecond")
{
    const uint64_t hz = 2'500'000'000;
    const StampConverter clock(ClockPair{123, 0}, ClockPair{123 + hz, 1'000'000'000});
    const uint64_t week_s = 7 * 24 * 3600;
    CHECK(clock.to_ns(123 + week_s * hz) >= static_cast<int64_t>(week_s * 1'000'000'000) - 1);
    CHECK(clock.to_ns(123 + week_s * hz) <= static_cast<int64_t>(week_s * 1'000'000'000));
}

TEST_CASE("a time converts to the first stamp that is as late")
{
    const StampConverter clock(ClockPair{1'000'000, 5'000'000'000}, ClockPair{4'000'000, 5'007'000'000});
    for (const int64_t ns : {int64_t{1}, int64_t{7}, int64_t{1000}, int64_t{123'456'789}, int64_t{1} << 60}) {
        const uint64_t stamp = clock.to_stamp(ns);
        CHECK(clock.to_ns(stamp) >= ns - 1); // which rounds down
        CHECK(clock.to_ns(stamp - 1) < ns);
    }
    CHECK(clock.to_stamp(0) == 1'000'000);
    CHECK(clock.to_stamp(-5) == 1'000'000);
    CHECK(StampConverter(UINT64_MAX - 10).to_stamp(100) == UINT64_MAX - 1);
}

TEST_CASE("the largest stamp does not overflow")
{
    const StampConverter clock(ClockPair{0, 0}, ClockPair{1, 1'000'000'000});
    CHECK(clock.to_ns(UINT64_MAX) > 0);
    CHECK(clock.to_ns(UINT64_MAX) + 1'000'000'000 > 0);
}

TEST_CASE("without a second clock pair only a clock that counts nanoseconds can be converted")
{
    FileHeader header = {};
    header.latest_index = 2;
    header.start = {1000, 2000};
    header.stamp_clock = StampClock::monotonic_ns;
    REQUIRE(make_converter(header, false).has_value());
    CHECK(make_converter(header, false)->to_ns(1500) == 500);
    header.stamp_clock = StampClock::tsc;
    CHECK_FALSE(make_converter(header, false).has_value());
    header.latest[1] = {3000, 3000};
    header.latest_index = 1;
    REQUIRE(make_converter(header, false).has_value());
    CHECK(make_converter(header, false)->to_ns(1500) == 250);
    header.latest_index = 77;
    CHECK_FALSE(make_converter(header, false).has_value());
}

TEST_CASE("on the machine and boot of the trace this moment calibrates a short one")
{
    FileHeader header = {};
    header.latest_index = 2;
    header.stamp_clock = StampClock::tsc;
    const auto start = read_clock(StampClock::tsc);
    if (!start) return; // no such clock here
    header.start = *start;
    const auto later = [&] {
        for (;;)
            if (const auto now = read_clock(StampClock::tsc); now->monotonic_ns > start->monotonic_ns + 2'000'000)
                return *now;
    }();
    const auto clock = make_converter(header, true);
    REQUIRE(clock.has_value());
    const auto expected = static_cast<double>(later.monotonic_ns - start->monotonic_ns);
    CHECK(static_cast<double>(clock->to_ns(later.stamp)) == doctest::Approx(expected).epsilon(0.01));
}

TEST_CASE("of two clocks that are read together neither is read long after the other")
{
    // A clock that counts the time of all readings; the first of the other one is slow, and there is an interruption.
    uint64_t now = 1000;
    int readings = 0;
    const auto stamp = [&] { return now += 1; };
    const auto monotonic_ns = [&] {
        const uint64_t delays[] = {5000, 700, 20, 30};
        const uint64_t delay = delays[readings++ % 4];
        now += delay / 2;
        const uint64_t ns = now * 3;
        now += delay - delay / 2;
        return ns;
    };
    const ClockPair pair = leak::format::read_together(stamp, monotonic_ns);
    CHECK(pair.stamp * 3 + 6 >= pair.monotonic_ns);
    CHECK(pair.stamp * 3 <= pair.monotonic_ns + 6);
}
