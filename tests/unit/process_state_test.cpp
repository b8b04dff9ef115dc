#include "analyzer/decode/process_state.hpp"

#include "analyzer/decode/stamp_clock.hpp"
#include "tests/unit/own_trace.hpp"
#include "tests/unit/replay_helpers.hpp"

#include <doctest/doctest.h>

using namespace leak::analyzer;
using namespace leak::test;
using enum leak::format::EventKind;

TEST_CASE("a process that runs is told from one that had its number before, and from another boot's")
{
    TraceBuilder trace = own_trace();
    CHECK(written_on_this_boot(trace.header));
    CHECK(still_running(trace.header));
    ++trace.header.process_start_ticks;
    CHECK_FALSE(still_running(trace.header));
    --trace.header.process_start_ticks;
    trace.header.boot_id[3] ^= 1;
    CHECK_FALSE(written_on_this_boot(trace.header));
    CHECK_FALSE(still_running(trace.header));
}

TEST_CASE("the view of a running process ends at the moment it was opened")
{
    TraceBuilder trace = own_trace();
    const auto now = read_clock(leak::format::StampClock::monotonic_ns);
    REQUIRE(now.has_value());
    constexpr uint64_t kHour = 3'600'000'000'000;
    trace.header.start = {now->stamp - 1000, now->stamp - 1000};
    trace.event(0, {.kind = malloc_, .stamp = now->stamp - 10, .address = 0x1000, .size = 1});
    trace.event(0, {.kind = malloc_, .stamp = now->stamp + kHour, .address = 0x2000, .size = 1});
    trace.flush(0);
    trace.event(0, {.kind = free_, .stamp = now->stamp + 2 * kHour, .address = 0x1000});
    const ReplayResult result = replay(trace);
    CHECK(result.info.still_running);
    CHECK_FALSE(result.info.complete);
    REQUIRE(result.unfreed.size() == 1);
    CHECK(result.unfreed[0].address == 0x1000);
    CHECK(result.info.duration_ns == 990);
    CHECK(result.info.damage.empty());
}
