#include "tests/unit/replay_helpers.hpp"

#include <doctest/doctest.h>

#include <map>
#include <random>
#include <vector>

using namespace leak::analyzer;
using namespace leak::test;
using enum leak::format::EventKind;

namespace {

// Writes down what it is told.
class Recorder : public Analysis {
public:
    void on_allocate(const LiveBlock& block) override
    {
        live[block.address] = block.bytes;
        ++allocations;
    }
    void on_release(const LiveBlock& block, int64_t, ThreadId, leak::format::EventKind released_by) override
    {
        CHECK(live.erase(block.address) == 1);
        last_released_by = released_by;
    }
    void on_tick(int64_t at_ns) override { ticks.push_back(at_ns); }
    void finish(int64_t end_ns) override { end = end_ns; }

    std::map<uint64_t, uint64_t> live;
    uint64_t allocations = 0;
    leak::format::EventKind last_released_by = none;
    std::vector<int64_t> ticks;
    int64_t end = -1;
};

} // namespace

TEST_CASE("a trace says who its process was")
{
    TraceBuilder trace;
    trace.process("/usr/bin/app", "/home/x", {"app", "--fast"});
    trace.record(leak::format::RecordType::setting, 0, "LEAK_DEPTH=64");
    trace.record(leak::format::RecordType::mark, 70, "load stop");
    trace.module({.index = 1, .path = "/usr/bin/app", .start = 0x400000, .end = 0x500000, .build_id = "\x12\x34"});
    trace.thread(0, 4711, "app", 5);
    trace.event(0, {.kind = malloc_, .stamp = 90, .address = 0x1000, .size = 1});
    trace.header.exit_status = 3;
    const ReplayResult result = replay(trace);
    CHECK(result.info.exe == "/usr/bin/app");
    CHECK(result.info.working_directory == "/home/x");
    CHECK(result.info.args == std::vector<std::string>{"app", "--fast"});
    CHECK(result.info.settings == std::vector<std::string>{"LEAK_DEPTH=64"});
    CHECK(result.info.pid == 4711);
    CHECK(result.info.exit_status == 3);
    CHECK(result.info.duration_ns == 90);
    CHECK(result.info.complete);
    CHECK_FALSE(result.info.still_running);
    CHECK(result.info.parent_trace_path.empty());
    REQUIRE(result.info.marks.size() == 1);
    REQUIRE(result.modules.size() == 2);
    CHECK(result.modules[1].build_id == std::vector<uint8_t>{0x12, 0x34});
    CHECK(result.modules[1].segments.size() == 1);
    REQUIRE(result.threads.size() == 1);
    CHECK(result.threads[0].tid == 4711);
    CHECK(result.threads[0].started_ns == 5);
}

TEST_CASE("events the process knows it lost make a gap")
{
    TraceBuilder trace;
    trace.header.lost_events = 12;
    trace.header.loss_cause = leak::format::LossCause::no_space;
    trace.header.loss_first_stamp = 77;
    const ReplayResult result = replay(trace);
    CHECK(result.info.gap_events == 12);
    CHECK(result.info.loss_first_ns == 77);
    CHECK_FALSE(result.info.complete);
}

TEST_CASE("a killed process has no complete trace, and its events are all there")
{
    TraceBuilder trace;
    trace.header.end_state = leak::format::EndState::open;
    trace.event(0, {.kind = malloc_, .stamp = 1, .address = 0x1000, .size = 1});
    const ReplayResult result = replay(trace);
    CHECK_FALSE(result.info.complete);
    CHECK(result.info.damage.empty());
    CHECK(result.unfreed.size() == 1);
}

TEST_CASE("a trace without events is no error")
{
    TraceBuilder trace;
    const ReplayResult result = replay(trace);
    CHECK(result.info.duration_ns == 0);
    CHECK(result.unfreed.empty());
    CHECK(result.info.damage.empty());
}

TEST_CASE("an analysis sees every change of the live blocks")
{
    TraceBuilder trace;
    trace.event(0, {.kind = malloc_, .stamp = 1, .address = 0x1000, .size = 1});
    trace.event(0, {.kind = malloc_, .stamp = 2, .address = 0x2000, .size = 2});
    trace.event(0, {.kind = free_, .stamp = 3, .address = 0x1000});
    trace.event(0, {.kind = malloc_, .stamp = 4, .address = 0x2000, .size = 5}); // its release was missed
    trace.event(0, {.kind = realloc_release, .stamp = 5, .address = 0x2000});
    trace.event(0, {.kind = realloc_undo, .stamp = 6, .address = 0x2000});
    Recorder recorder;
    const ReplayResult result = replay(trace, {.on_progress = {}, .analyses = {&recorder}});
    CHECK(recorder.live == std::map<uint64_t, uint64_t>{{0x2000, 5}});
    CHECK(recorder.allocations == 4);
    CHECK(recorder.end == 6);
    CHECK(result.unfreed.size() == 1);
}

TEST_CASE("ticks come once for each time the boundary is passed, and at the end")
{
    TraceBuilder trace;
    const auto at = [](int64_t ticks, uint64_t more) { return static_cast<uint64_t>(ticks * kTickNs) + more; };
    uint64_t address = 0x1000;
    for (const uint64_t stamp : {at(0, 1), at(1, 0), at(1, 5), at(4, 9)})
        trace.event(0, {.kind = malloc_, .stamp = stamp, .address = address += 64, .size = 1});
    Recorder recorder;
    static_cast<void>(replay(trace, {.on_progress = {}, .analyses = {&recorder}}));
    CHECK(recorder.ticks == std::vector<int64_t>{kTickNs, 4 * kTickNs, 4 * kTickNs + 9});
}

TEST_CASE("progress rises to 1")
{
    TraceBuilder trace;
    for (uint64_t i = 0; i < 200'000; ++i)
        trace.event(0, {.kind = i % 2 == 0 ? malloc_ : free_, .stamp = i, .address = 0x1000, .size = 1});
    std::vector<double> seen;
    static_cast<void>(replay(trace, {.on_progress = [&](double share) { seen.push_back(share); }, .analyses = {}}));
    REQUIRE(seen.size() > 3);
    CHECK(std::is_sorted(seen.begin(), seen.end()));
    CHECK(seen.back() == 1);
}

TEST_CASE("eight threads that hand blocks to each other leave exactly what a plain count leaves")
{
    TraceBuilder trace;
    std::mt19937 random(5);
    std::map<uint64_t, uint64_t> expected;
    const std::vector<uint32_t> pcs = {trace.pc(0x1000), trace.pc(0x2000), trace.pc(0x3000), trace.pc(0x4000)};
    for (uint64_t stamp = 1; stamp < 300'000; ++stamp) {
        const auto thread = static_cast<uint32_t>(random() % 8);
        const uint64_t address = 0x10000 + random() % 4000 * 16;
        if (expected.erase(address) == 1) {
            trace.event(thread, {.kind = free_, .stamp = stamp, .address = address});
            continue;
        }
        expected[address] = stamp % 1000;
        trace.event(thread, {.kind = malloc_,
                             .stamp = stamp,
                             .address = address,
                             .size = stamp % 1000,
                             .stack = {pcs.begin(), pcs.begin() + static_cast<std::ptrdiff_t>(random() % 5)}});
    }
    const ReplayResult result = replay(trace);
    CHECK(result.totals.unmatched_releases == 0);
    CHECK(result.totals.replaced_blocks == 0);
    CHECK(result.totals.threads == 8);
    CHECK(result.totals.stacks == 5);
    std::map<uint64_t, uint64_t> left;
    for (const LiveBlock& block : result.unfreed) left[block.address] = block.bytes;
    CHECK(left == expected);
}
