// What a wrapped trace says is what the same trace says that has not wrapped: random events, folded up to any of them,
// against a replay of all.
#include "tests/unit/fold_helpers.hpp"
#include "tests/unit/random_program.hpp"

#include <doctest/doctest.h>

#include <random>

using namespace leak;
using namespace leak::test;
using analyzer::ReplayResult;
using preload::FoldState;
using enum format::EventKind;

TEST_CASE("a trace that was folded anywhere says what the whole trace says")
{
    for (unsigned seed = 0; seed < 60; ++seed) {
        CAPTURE(seed);
        Program program(seed);
        TraceBuilder whole;
        for (uint64_t address = 1; address <= 6; ++address) static_cast<void>(whole.pc(0x400000 + address));
        FoldState state;
        whole.header.sample_bytes = seed % 5 == 4 ? 512 : 0;
        // In every third program so few points that ticks must be joined.
        REQUIRE(state.init(false, history_grid(seed % 3 == 0 ? 40 : 1'000'000), whole.header.sample_bytes));
        const uint64_t events = 500 + program.below(1500);
        const uint64_t folded = seed % 7 == 0 ? 0 : seed % 7 == 1 ? events : program.below(events);
        std::vector<std::byte> carried;
        uint64_t stamp = 0;
        for (uint64_t i = 0; i < events; ++i) {
            const auto [thread, event] = program.next();
            whole.event(thread, event);
            if (i < folded) {
                fold(state, thread, event, whole);
                stamp = event.stamp;
            }
            if (i + 1 == folded) carried = written(state);
            if (program.below(100) == 0) whole.flush(thread);
        }
        ReplayResult expected = replay(whole);
        if (folded == 0) carried = written(state);
        whole.carry(std::move(carried), stamp);
        ReplayResult result = replay(whole);
        check_same(result, expected);
        check_same_accounts(result, expected);
        CHECK(result.info.folded_ns == static_cast<int64_t>(stamp));
    }
}

TEST_CASE("a damaged carried state is said, and the events behind it are still read")
{
    TraceBuilder trace;
    trace.event(0, {.kind = malloc_, .stamp = 10, .address = 0x1000, .size = 5});
    FoldState state;
    REQUIRE(state.init(false, history_grid()));
    fold(state, 0, {.kind = malloc_, .stamp = 10, .address = 0x1000, .size = 5}, trace);
    const std::vector<std::byte> sound = written(state);
    for (size_t cut = 0; cut < sound.size(); ++cut) {
        TraceBuilder damaged;
        damaged.event(0, {.kind = malloc_, .stamp = 10, .address = 0x1000, .size = 5});
        damaged.carry({sound.begin(), sound.begin() + static_cast<std::ptrdiff_t>(cut)}, 10);
        const ReplayResult result = replay(damaged);
        CHECK_FALSE(result.info.damage.empty());
        CHECK(result.unfreed.size() == 1);
    }
    std::mt19937 random(1);
    for (int i = 0; i < 2000; ++i) {
        std::vector<std::byte> bytes = sound;
        bytes[random() % bytes.size()] ^= static_cast<std::byte>(1 + random() % 255);
        TraceBuilder damaged;
        damaged.event(0, {.kind = malloc_, .stamp = 10, .address = 0x1000, .size = 5});
        damaged.carry(bytes, 10);
        CHECK(replay(damaged).unfreed.size() <= 2); // whatever it says: no crash
    }
}
