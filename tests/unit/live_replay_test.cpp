// A replay that follows a growing trace says what one replay of all of it says.
#include "analyzer/decode/stamp_clock.hpp"
#include "analyzer/replay/live_replay.hpp"
#include "tests/unit/ending_threads.hpp"
#include "tests/unit/own_trace.hpp"
#include "tests/unit/random_program.hpp"

#include <doctest/doctest.h>

using namespace leak;
using namespace leak::test;
using analyzer::LiveReplay;
using analyzer::ReplayResult;
using enum format::EventKind;

namespace {

[[nodiscard]] TraceBuilder running_trace()
{
    TraceBuilder trace = own_trace();
    for (uint64_t address = 1; address <= 6; ++address) static_cast<void>(trace.pc(0x400000 + address));
    return trace;
}

void end(TraceBuilder& trace)
{
    trace.header.pid = 0; // nobody
    trace.header.end_state = format::EndState::exit_started;
}

// What is replayed in steps is what is replayed at once, the accounts of stacks included.
void check_same_as_whole(LiveReplay& live, const TempTrace& file)
{
    ReplayResult stepped = live.result();
    ReplayResult whole = analyzer::replay_trace(file.path());
    check_same(stepped, whole);
    check_same_accounts(stepped, whole);
}

} // namespace

TEST_CASE("a trace that is read in steps as it grows says what the whole trace says")
{
    for (unsigned seed = 0; seed < 40; ++seed) {
        CAPTURE(seed);
        Program program(seed);
        TraceBuilder trace = running_trace();
        const TempTrace file(trace.image());
        LiveReplay live(file.path());
        CHECK(live.refresh());
        const uint64_t events = 500 + program.below(1500);
        for (uint64_t i = 0; i < events; ++i) {
            const auto [thread, event] = program.next();
            trace.event(thread, event);
            if (program.below(60) == 0) trace.flush(thread);
            if (program.below(150) != 0) continue;
            file.replace(trace.image());
            CHECK(live.refresh());
            check_same_as_whole(live, file);
        }
        end(trace);
        file.replace(trace.image());
        CHECK_FALSE(live.refresh());
        check_same_as_whole(live, file);
        CHECK(live.info().exit_status == 0);
        CHECK(live.result().info.complete);
        CHECK_FALSE(live.refresh());
        CHECK(live.times_started_over() == 0);
    }
}

TEST_CASE("events that were folded before they were applied are taken from the carried state")
{
    uint64_t started_over = 0;
    uint64_t went_on = 0;
    for (unsigned seed = 0; seed < 60; ++seed) {
        CAPTURE(seed);
        Program program(seed);
        TraceBuilder trace = running_trace();
        preload::FoldState state(format::StampClock::monotonic_ns);
        trace.header.sample_bytes = seed % 5 == 4 ? 512 : 0;
        REQUIRE(state.init(false, history_grid(seed % 3 == 0 ? 40 : 1'000'000), trace.header.sample_bytes));
        const TempTrace file(trace.image());
        LiveReplay live(file.path());
        CHECK(live.refresh());
        std::vector<std::pair<uint32_t, TestEvent>> not_folded;
        std::vector<std::pair<uint64_t, uint32_t>> positions;
        uint64_t number = 0;
        for (int step = 0; step < 8; ++step) {
            for (uint64_t i = 50 + program.below(200); i > 0; --i) {
                const auto [thread, event] = program.next();
                trace.event(thread, event);
                not_folded.emplace_back(thread, event);
                positions.push_back(trace.position(thread));
                if (program.below(60) == 0) trace.flush(thread);
            }
            if (program.below(3) != 0) {
                const auto folded = static_cast<std::ptrdiff_t>(program.below(not_folded.size() + 1));
                uint64_t stamp = trace.header.carried[0].stamp;
                for (std::ptrdiff_t i = 0; i < folded; ++i) {
                    fold(state, not_folded[static_cast<size_t>(i)].first, not_folded[static_cast<size_t>(i)].second,
                         positions[static_cast<size_t>(i)]);
                    stamp = not_folded[static_cast<size_t>(i)].second.stamp;
                }
                not_folded.erase(not_folded.begin(), not_folded.begin() + folded);
                positions.erase(positions.begin(), positions.begin() + folded);
                trace.carry(written(state), stamp, ++number);
            }
            file.replace(trace.image());
            const uint64_t before = live.times_started_over();
            CHECK(live.refresh());
            (live.times_started_over() == before ? went_on : started_over) += 1;
            check_same_as_whole(live, file);
        }
        end(trace);
        file.replace(trace.image());
        CHECK_FALSE(live.refresh());
        check_same_as_whole(live, file);
    }
    CHECK(started_over > 50);
    CHECK(went_on > 50);
}

TEST_CASE("threads that ended are forgotten where all of theirs was applied, else it is taken from the carried state")
{
    uint64_t started_over = 0;
    uint64_t went_on = 0;
    uint64_t forgotten = 0;
    for (unsigned seed = 0; seed < 40; ++seed) {
        CAPTURE(seed);
        Program program(seed);
        TraceBuilder trace = running_trace();
        preload::FoldState state(format::StampClock::monotonic_ns);
        REQUIRE(state.init(false, history_grid()));
        EndingThreads threads(trace, state);
        const TempTrace file(trace.image());
        LiveReplay live(file.path());
        CHECK(live.refresh());
        uint64_t number = 0;
        for (int step = 0; step < 12; ++step) {
            for (uint64_t i = 20 + program.below(80); i > 0; --i) {
                const auto [thread, event] = program.next();
                threads.event(thread, program.below(20) == 0 ? 1 : 0, event);
                if (program.below(60) == 0) threads.flush(thread, 0);
                if (program.below(20) == 0) threads.end(program.end_thread(), program.below(8) != 0);
            }
            if (program.below(2) != 0) {
                // What was applied before, or some more.
                const size_t most = threads.waiting();
                threads.fold(program.below(3) == 0 ? program.below(most + 1) : program.below(most / 4 + 1));
                trace.carry(threads.carried(), threads.stamp(), ++number);
            }
            file.replace(trace.image());
            const uint64_t before = live.times_started_over();
            CHECK(live.refresh());
            (live.times_started_over() == before ? went_on : started_over) += 1;
            check_same_as_whole(live, file);
        }
        end(trace);
        file.replace(trace.image());
        CHECK_FALSE(live.refresh());
        check_same_as_whole(live, file);
        forgotten += threads.forgotten();
    }
    CHECK(started_over > 20);
    CHECK(went_on > 20);
    CHECK(forgotten > 200);
}

TEST_CASE("what has a stamp behind the moment of a refresh waits for the next")
{
    TraceBuilder trace = running_trace();
    const auto now = analyzer::read_clock(format::StampClock::monotonic_ns);
    REQUIRE(now.has_value());
    constexpr uint64_t kHour = 3'600'000'000'000;
    trace.header.start = {now->stamp - 1000, now->stamp - 1000};
    trace.event(0, {.kind = malloc_, .stamp = now->stamp - 10, .address = 0x1000, .size = 1});
    trace.event(0, {.kind = malloc_, .stamp = now->stamp + kHour, .address = 0x2000, .size = 2});
    trace.flush(0);
    const TempTrace file(trace.image());
    LiveReplay live(file.path());
    CHECK(live.refresh());
    CHECK(live.result().unfreed.size() == 1);
    CHECK(live.refresh());
    CHECK(live.result().unfreed.size() == 1);
    end(trace);
    file.replace(trace.image());
    CHECK_FALSE(live.refresh());
    REQUIRE(live.result().unfreed.size() == 2);
    CHECK(live.result().unfreed[1].allocated_ns == static_cast<int64_t>(kHour + 1000));
}

TEST_CASE("an event that comes late is applied late")
{
    TraceBuilder trace = running_trace();
    trace.event(0, {.kind = malloc_, .stamp = 10, .address = 0x1000, .size = 1});
    trace.event(1, {.kind = malloc_, .stamp = 500, .address = 0x2000, .size = 2});
    const TempTrace file(trace.image());
    LiveReplay live(file.path());
    CHECK(live.refresh());
    // The hook of thread 0 had its stamp and was interrupted.
    trace.event(0, {.kind = free_, .stamp = 20, .address = 0x1000});
    file.replace(trace.image());
    CHECK(live.refresh());
    const ReplayResult& result = live.result();
    REQUIRE(result.unfreed.size() == 1);
    CHECK(result.unfreed[0].address == 0x2000);
    CHECK(result.info.duration_ns == 500);
    CHECK(result.totals.unmatched_releases == 0);
}

TEST_CASE("a realloc that has not returned has released nothing, and what it releases then is released once")
{
    TraceBuilder trace = running_trace();
    trace.event(0, {.kind = malloc_, .stamp = 10, .address = 0x1000, .size = 1});
    trace.event(0, {.kind = realloc_release, .stamp = 20, .address = 0x1000});
    const TempTrace file(trace.image());
    LiveReplay live(file.path());
    CHECK(live.refresh());
    CHECK(live.result().unfreed.size() == 1);
    CHECK(live.result().totals.releases == 0);
    trace.event(0, {.kind = realloc_, .stamp = 30, .address = 0x2000, .size = 9});
    file.replace(trace.image());
    CHECK(live.refresh());
    REQUIRE(live.result().unfreed.size() == 1);
    CHECK(live.result().unfreed[0].address == 0x2000);
    CHECK(live.result().totals.releases == 1);
}

TEST_CASE("an exec ends the trace, though not the process")
{
    TraceBuilder trace = running_trace();
    const TempTrace file(trace.image());
    LiveReplay live(file.path());
    CHECK(live.refresh());
    trace.event(0, {.kind = malloc_, .stamp = 10, .address = 0x1000, .size = 1});
    trace.header.end_state = format::EndState::exec;
    file.replace(trace.image());
    CHECK(live.refresh()); // it may still fail
    CHECK_FALSE(live.refresh());
    CHECK(live.result().unfreed.size() == 1);
}

TEST_CASE("damage is counted once")
{
    TraceBuilder trace = running_trace();
    trace.event(0, {.kind = malloc_, .stamp = 10, .address = 0x1000, .size = 1});
    trace.flush(0);
    trace.event(0, {.kind = malloc_, .stamp = 20, .address = 0x2000, .size = 1});
    trace.lose_buffer(0);
    trace.event(0, {.kind = malloc_, .stamp = 30, .address = 0x3000, .size = 1});
    const TempTrace file(trace.image());
    LiveReplay live(file.path());
    for (int i = 0; i < 3; ++i) {
        CHECK(live.refresh());
        CHECK(live.result().info.damage.size() == 1);
        CHECK(live.result().unfreed.size() == 2);
    }
    end(trace);
    file.replace(trace.image());
    CHECK_FALSE(live.refresh());
    CHECK(live.result().info.damage.size() == 1);
}
