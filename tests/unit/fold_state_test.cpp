// What a wrapped trace says is what the same trace says that has not wrapped: random events, folded up to any of them,
// against a replay of all.
#include "tests/unit/ending_threads.hpp"
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
        FoldState state(format::StampClock::monotonic_ns);
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

TEST_CASE("threads that ended are forgotten, and what is left over of them counts no more")
{
    uint64_t ended = 0;
    uint64_t forgotten = 0;
    for (unsigned seed = 0; seed < 60; ++seed) {
        CAPTURE(seed);
        Program program(seed);
        TraceBuilder whole(TraceLayout::compact());
        whole.keep_flushed_raw = seed % 2 == 0;
        for (uint64_t address = 1; address <= 6; ++address) static_cast<void>(whole.pc(0x400000 + address));
        FoldState state(format::StampClock::monotonic_ns);
        REQUIRE(state.init(false, history_grid()));
        EndingThreads threads(whole, state);
        const uint64_t events = 500 + program.below(1500);
        const uint64_t folded = program.below(events);
        std::vector<std::byte> carried;
        for (uint64_t i = 0; i < events; ++i) {
            const auto [thread, event] = program.next();
            threads.event(thread, program.below(20) == 0 ? 1 : 0, event);
            if (program.below(100) == 0) threads.flush(thread, 0);
            if (program.below(20) == 0) threads.end(program.end_thread(), program.below(4) != 0), ++ended;
            if (i < folded && program.below(200) == 0) {
                threads.fold(threads.waiting());
                carried = threads.carried();
            }
            if (i == folded) {
                threads.fold(program.below(threads.waiting() + 1));
                carried = threads.carried();
            }
        }
        forgotten += threads.forgotten();
        ReplayResult expected = replay(whole);
        whole.carry(std::move(carried), threads.stamp());
        ReplayResult result = replay(whole);
        check_same(result, expected);
        check_same_accounts(result, expected);
        CHECK(result.totals.threads == expected.totals.threads);
    }
    CHECK(forgotten > ended / 4);
    CHECK(forgotten < ended);
}

TEST_CASE("what is known of streams does not grow with the threads that there were")
{
    TraceBuilder trace;
    FoldState state(format::StampClock::monotonic_ns);
    REQUIRE(state.init(false, history_grid()));
    EndingThreads threads(trace, state);
    size_t bytes = 0;
    constexpr uint32_t kAtOnce = 100;
    for (uint32_t round = 0; round < 30; ++round) {
        const uint32_t first = 1 + round * kAtOnce;
        for (uint32_t thread = first; thread < first + kAtOnce; ++thread) {
            const uint64_t stamp = thread * uint64_t{100};
            threads.event(0, 0, {.kind = malloc_, .stamp = stamp, .address = 0x1000, .size = 5});
            threads.event(thread, 0, {.kind = malloc_, .stamp = stamp + 10, .address = 0x2000, .size = 5});
            threads.event(thread, 0, {.kind = free_, .stamp = stamp + 20, .address = 0x2000});
            threads.event(0, 0, {.kind = free_, .stamp = stamp + 30, .address = 0x1000});
            threads.end(thread, true);
        }
        threads.fold(threads.waiting());
        const size_t now = threads.carried().size();
        CHECK(threads.forgotten() == (round + 1) * kAtOnce);
        CHECK(state.stream_of(first + kAtOnce, 0) == 1); // behind that of thread 0
        if (round == 1) bytes = now;
        if (round > 1) CHECK(now <= bytes + 100); // larger numbers
    }
}

TEST_CASE("a damaged carried state is said, and the events behind it are still read")
{
    TraceBuilder trace;
    trace.event(0, {.kind = malloc_, .stamp = 10, .address = 0x1000, .size = 5});
    FoldState state(format::StampClock::monotonic_ns);
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
