#include "tests/unit/growth_helpers.hpp"

#include <doctest/doctest.h>
#include <random>

using namespace leak::analyzer;
using namespace leak::analyzer::tests;

namespace {

[[nodiscard]] double nothing(double /*second*/)
{
    return 0;
}

// allocations a second as rate(s) says, give or take a Poisson's deviation; ends normally.
[[nodiscard]] Run make_run(double end_s, const std::function<double(double)>& rate,
                           const std::function<double(double)>& bytes = nothing)
{
    std::mt19937 random(7);
    const auto noisy = [&](double second) {
        const double mean = rate(second) * kTickNs / kSecondNs;
        if (mean <= 0) return 0.0;
        return std::poisson_distribution<int>(mean)(random) * static_cast<double>(kSecondNs) / kTickNs;
    };
    return {.heap = make_curve(end_s, bytes, noisy),
            .end_ns = static_cast<int64_t>(end_s * kSecondNs),
            .tick_ns = kTickNs,
            .ended_normally = true};
}

[[nodiscard]] std::string kinds_of(const std::vector<Phase>& phases)
{
    std::string kinds;
    for (const Phase& phase : phases) kinds += "slix"[static_cast<size_t>(phase.kind)];
    return kinds;
}

[[nodiscard]] bool is_near(int64_t ns, double seconds)
{
    return std::abs(static_cast<double>(ns) / kSecondNs - seconds) < 0.02;
}

} // namespace

TEST_CASE("a load is found, and where it begins and stops")
{
    const auto phases = find_phases(make_run(10, [](double s) { return s >= 2 && s < 6 ? 20000 : 50; }));
    REQUIRE(kinds_of(phases) == "ili");
    CHECK(is_near(phases[1].from_ns, 2));
    CHECK(is_near(phases[1].to_ns, 6));
    CHECK(phases[2].to_ns == 10 * kSecondNs);
    CHECK(phases[1].rate_per_s == doctest::Approx(20000).epsilon(0.05));
    CHECK(phases[1].source == PhaseSource::found);
}

TEST_CASE("several loads, bursts while idle, load in portions")
{
    CHECK(kinds_of(find_phases(make_run(12, [](double s) { return std::fmod(s, 4) < 2 ? 5000 : 20; }))) == "lilili");
    // A burst of 20 ms every second.
    CHECK(kinds_of(find_phases(make_run(10, [](double s) {
              return s < 4 ? 9000 : std::fmod(s, 1) < 0.02 ? 9000 : 30;
          }))) == "li");
    // 10 ms of work, 30 ms of waiting.
    CHECK(kinds_of(find_phases(
              make_run(10, [](double s) { return s < 6 ? (std::fmod(s, 0.04) < 0.01 ? 40000 : 0) : 5; }))) == "li");
    // Twice the rate in the middle is one load.
    CHECK(kinds_of(find_phases(make_run(10, [](double s) { return s < 3 ? 8000 : s < 6 ? 16000 : 40; }))) == "li");
}

TEST_CASE("silence before the load does not hide that it stopped")
{
    CHECK(kinds_of(find_phases(make_run(10, [](double s) { return s < 3 ? 0 : s < 6 ? 20000 : 1500; }))) == "ili");
}

TEST_CASE("what is busy at first for a short while is start-up if a longer load comes later")
{
    const auto phases = find_phases(make_run(10, [](double s) { return s < 0.5 || (s >= 2 && s < 7) ? 30000 : 10; }));
    CHECK(kinds_of(phases) == "sili");
}

TEST_CASE("an even rate is one load, and so is none")
{
    CHECK(kinds_of(find_phases(make_run(10, [](double) { return 5000; }))) == "l");
    CHECK(kinds_of(find_phases(make_run(10, nothing))) == "l");
    CHECK(kinds_of(find_phases(make_run(0.001, nothing))) == "l");
    CHECK(kinds_of(find_phases(make_run(10, [](double s) { return s < 5 ? 5000 : 3000; }))) == "l");
}

TEST_CASE("what a program releases at its end is its exit, not its idle time")
{
    const auto bytes = [](double s) { return s < 4 ? s * 1e6 : s < 9.9 ? 4e6 : std::max(0.0, (10 - s) * 4e7); };
    const auto rate = [](double s) { return s < 4 ? 8000 : 0; };
    const auto phases = find_phases(make_run(10, rate, bytes));
    REQUIRE(kinds_of(phases) == "lix");
    CHECK(is_near(phases[2].from_ns, 9.9));
    // With a timer that goes on until then.
    const auto timer = [](double s) { return s < 4 ? 8000 : s < 9.9 ? 500 : 0; };
    const auto ticking = find_phases(make_run(10, timer, bytes));
    REQUIRE(kinds_of(ticking) == "lix");
    CHECK(is_near(ticking[2].from_ns, 9.9));
    // What came last waited for a processor.
    const auto before = [&bytes](double wait_s) { return [=](double s) { return bytes(s + wait_s); }; };
    CHECK(kinds_of(find_phases(make_run(10, rate, before(0.25)))) == "lix");
    CHECK(kinds_of(find_phases(make_run(10, rate, before(0.4)))) == "li");
    // A process that was killed did not take itself down.
    Run killed = make_run(10, rate, bytes);
    killed.ended_normally = false;
    CHECK(kinds_of(find_phases(killed)) == "li");
}

TEST_CASE("where a block was replaced without a release allocations are not less than none")
{
    // Another stack's allocation took its place.
    const Curve curve = {{.at_ns = 1, .live_blocks = 5, .events = 5}, {.at_ns = 2, .live_blocks = 2, .events = 5}};
    CHECK(allocations_in(curve, 0, 1) == 5);
    CHECK(allocations_in(curve, 1, 2) == 0);
}

TEST_CASE("there is always a phase")
{
    const Run nothing{.heap = {}, .end_ns = 0, .tick_ns = kTickNs, .ended_normally = true};
    CHECK(kinds_of(find_phases(nothing)) == "l");
    const Phase later{.kind = PhaseKind::idle, .from_ns = kSecondNs, .to_ns = 2 * kSecondNs};
    const auto phases = phases_of_options(nothing, {later});
    REQUIRE(kinds_of(phases) == "l");
    CHECK(phases[0].source == PhaseSource::found); // not the one that was said
}

TEST_CASE("marks and options say the phases")
{
    const Run run = make_run(10, [](double) { return 100; });
    const std::vector<Mark> marks = {
        {2 * kSecondNs, "load start"}, {3 * kSecondNs, "deploy"}, {5 * kSecondNs, "load stop"}};
    const auto phases = phases_of_marks(run, marks);
    REQUIRE(phases);
    REQUIRE(kinds_of(*phases) == "sli");
    CHECK((*phases)[1].from_ns == 2 * kSecondNs);
    CHECK((*phases)[1].to_ns == 5 * kSecondNs);
    CHECK((*phases)[2].source == PhaseSource::marks);
    CHECK(kinds_of(*phases_of_marks(run, std::vector<Mark>{{5 * kSecondNs, "load stop"}})) == "li");
    CHECK(!phases_of_marks(run, std::vector<Mark>{{5 * kSecondNs, "deploy"}}));

    const auto said = phases_of_options(run, {{.kind = PhaseKind::idle, .from_ns = 6 * kSecondNs, .to_ns = INT64_MAX},
                                              {.kind = PhaseKind::load, .from_ns = 0, .to_ns = 6 * kSecondNs}});
    REQUIRE(kinds_of(said) == "li");
    CHECK(said[1].to_ns == 10 * kSecondNs);
    CHECK(said[0].source == PhaseSource::options);
}
