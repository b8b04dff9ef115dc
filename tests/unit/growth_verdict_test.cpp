#include "tests/unit/growth_helpers.hpp"

#include <doctest/doctest.h>

using namespace leak::analyzer;
using namespace leak::analyzer::tests;

namespace {

[[nodiscard]] Phase phase(PhaseKind kind, double from_s, double to_s)
{
    return {.kind = kind,
            .from_ns = static_cast<int64_t>(from_s * kSecondNs),
            .to_ns = static_cast<int64_t>(to_s * kSecondNs)};
}

[[nodiscard]] double busy(double /*second*/)
{
    return 1000;
}

// Load from 1 to 4, idle to 10 s.
[[nodiscard]] std::optional<SiteGrowth> after_one_load(const std::function<double(double)>& bytes,
                                                       const std::function<double(double)>& callers = busy)
{
    const std::vector<Phase> phases = {phase(PhaseKind::idle, 0, 1), phase(PhaseKind::load, 1, 4),
                                       phase(PhaseKind::idle, 4, 10)};
    return judge_growth(make_curve(10, bytes, busy),
                        make_curve(10, [](double) { return 0; }, callers), make_curve(10, bytes, busy), phases, {});
}

// Four loads of a second, an idle second behind each.
[[nodiscard]] std::optional<SiteGrowth> after_four_loads(const std::function<double(double)>& bytes)
{
    std::vector<Phase> phases;
    for (int i = 0; i < 4; ++i) {
        phases.push_back(phase(PhaseKind::load, 2 * i, 2 * i + 1));
        phases.push_back(phase(PhaseKind::idle, 2 * i + 1, 2 * i + 2));
    }
    const Curve curve = make_curve(8, bytes, busy);
    return judge_growth(curve, make_curve(8, [](double) { return 0; }, busy), curve, phases, {});
}

[[nodiscard]] double ramp(double second, double from, double to)
{
    return std::clamp((second - from) / (to - from), 0.0, 1.0);
}

} // namespace

TEST_CASE("held, drained, and what is too little to matter")
{
    const auto held = after_one_load([](double s) { return 1e6 + 8e6 * ramp(s, 1, 4); });
    REQUIRE(held);
    CHECK(held->verdict == GrowthVerdict::held);
    CHECK(held->bytes_before == doctest::Approx(1e6).epsilon(0.01));
    CHECK(held->bytes_at_stop == doctest::Approx(9e6).epsilon(0.01));
    CHECK(held->bytes_at_end == doctest::Approx(9e6).epsilon(0.01));
    CHECK(held->slope_bytes_per_s == doctest::Approx(8e6 / 3).epsilon(0.01));
    REQUIRE(held->cycles.size() == 1);
    CHECK(held->cycles[0].load_stop_ns == 4 * kSecondNs);

    const auto drained = after_one_load([](double s) { return 8e6 * ramp(s, 1, 4) * (1 - 0.7 * ramp(s, 5, 8)); });
    REQUIRE(drained);
    CHECK(drained->verdict == GrowthVerdict::drained);
    CHECK(!after_one_load([](double s) { return 1e6 + 3e4 * ramp(s, 1, 4); }));
    CHECK(!after_one_load([](double) { return 5e6; }));
}

TEST_CASE("growing is what rises all through the idle time, and not in one step")
{
    const auto growing = after_one_load([](double s) { return 4e5 * s; });
    REQUIRE(growing);
    CHECK(growing->verdict == GrowthVerdict::growing);
    CHECK(growing->slope_bytes_per_s == doctest::Approx(4e5).epsilon(0.02));
    REQUIRE(growing->trend);
    CHECK(growing->trend->trend.p_value < 1e-6);
    CHECK(growing->trend->bytes.size() == 40);

    CHECK(!after_one_load([](double s) { return s < 7 ? 1e5 : 9e6; })); // an index, built once
    CHECK(!after_one_load([](double s) { return 1e5 + (s > 4 ? 2e6 * std::fmod(s, 1.0) : 0); })); // a queue
    // What came to rest long before the end.
    const auto settled = after_one_load([](double s) { return 4e6 * ramp(s, 1, 4) + 4e6 * ramp(s, 4, 6); });
    REQUIRE(settled);
    CHECK(settled->verdict == GrowthVerdict::held);
}

TEST_CASE("a cache that is full is a plateau; a store whose callers left is held")
{
    const auto bytes = [](double s) { return 8e6 * ramp(s, 1, 2); };
    CHECK(after_one_load(bytes)->verdict == GrowthVerdict::plateau);
    const auto left = after_one_load(bytes, [](double s) { return s < 2 ? 1000 : 0; });
    CHECK(left->verdict == GrowthVerdict::held);
    // A vector that doubles stands still for half of the time.
    const auto doubling = after_one_load([](double s) { return 1e6 * std::exp2(std::floor(3 * ramp(s, 1, 4) + 0.6)); });
    REQUIRE(doubling);
    CHECK(doubling->verdict == GrowthVerdict::held);
}

TEST_CASE("what gives part of it back is held, and a slow leak on the stack of a full cache is, too")
{
    CHECK(after_one_load([](double s) { return 6e6 * ramp(s, 1, 4) - 2.4e6 * ramp(s, 5, 6); })->verdict ==
          GrowthVerdict::held);
    CHECK(after_one_load([](double s) { return 9e6 * ramp(s, 1, 1.3) + 6e5 * ramp(s, 1, 4); })->verdict ==
          GrowthVerdict::held);
    // One late step of a pool is no leak.
    CHECK(after_one_load([](double s) { return 9e6 * ramp(s, 1, 1.3) + (s > 3.5 ? 2e5 : 0); })->verdict ==
          GrowthVerdict::plateau);
}

TEST_CASE("a cache whose contents are renewed is a plateau, a buffer that is flushed is not growing")
{
    CHECK(after_one_load([](double s) { return s < 4 ? 4e6 + 4e6 * std::fmod(s * 3, 1) : 7e6; })->verdict ==
          GrowthVerdict::plateau);
    const auto flushed = after_one_load([](double s) { return 4e6 * (s < 4 ? std::fmod(s, 1) : (s - 4) / 6); });
    CHECK((!flushed || flushed->verdict != GrowthVerdict::growing));
}

TEST_CASE("over several loads: ratchet, plateau, drained, growing")
{
    const auto in_load = [](double s) { return std::min(std::fmod(s, 2), 1.0); };
    CHECK(after_four_loads([&](double s) { return 1e6 * (std::floor(s / 2) + in_load(s)); })->verdict ==
          GrowthVerdict::ratchet);
    CHECK(after_four_loads([&](double s) { return 1e6 * ramp(s, 0, 1); })->verdict == GrowthVerdict::plateau);
    CHECK(after_four_loads([&](double s) { return std::fmod(s, 2) < 1.2 ? 3e6 * in_load(s) : 0; })->verdict ==
          GrowthVerdict::drained);
    // A little is left by each load, whatever more there is while it lasts.
    CHECK(after_four_loads([&](double s) {
              return 3e5 * (std::floor(s / 2) + in_load(s)) + (std::fmod(s, 2) < 1.2 ? 3e6 * in_load(s) : 0);
          })->verdict == GrowthVerdict::ratchet);
    CHECK(after_four_loads([](double s) { return 4e5 * s; })->verdict == GrowthVerdict::growing);
}

TEST_CASE("one load of three that leaves nothing behind is no ratchet yet")
{
    std::vector<Phase> phases;
    for (int i = 0; i < 3; ++i) {
        phases.push_back(phase(PhaseKind::load, 2 * i, 2 * i + 1));
        phases.push_back(phase(PhaseKind::idle, 2 * i + 1, 2 * i + 2));
    }
    const Curve curve =
        make_curve(6, [](double s) { return s < 4 ? 3e6 * ramp(s, 0, 1) : 3e6 + 4e5 * ramp(s, 4, 5); }, busy);
    CHECK(judge_growth(curve,
                       make_curve(
                           6, [](double) { return 0; }, busy),
                       curve, phases, {})
              ->verdict == GrowthVerdict::held);
}

TEST_CASE("under a load that never stops: climbing, or warming up")
{
    const std::vector<Phase> phases = {phase(PhaseKind::load, 0, 10)};
    const auto verdict = [&](const std::function<double(double)>& bytes) {
        const Curve curve = make_curve(10, bytes, busy);
        return judge_growth(curve, curve, curve, phases, {});
    };
    const auto climbing = verdict([](double s) { return 3e5 * s + 1e5 * std::sin(20 * s); });
    REQUIRE(climbing);
    CHECK(climbing->verdict == GrowthVerdict::climbing);
    CHECK(climbing->slope_bytes_per_s == doctest::Approx(3e5).epsilon(0.1));
    CHECK(!verdict([](double s) { return 5e6 * ramp(s, 0, 2); }));
    CHECK(!verdict([](double s) { return 5e6 * (1 - std::exp(-s)); }));
    CHECK(!verdict([](double s) { return 2e6 + 1e6 * std::sin(s); }));
}
