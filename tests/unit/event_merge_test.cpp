#include "analyzer/replay/event_merge.hpp"

#include "tests/unit/trace_builder.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <vector>

using namespace leak::analyzer;
using namespace leak::test;
using enum leak::format::EventKind;

namespace {

std::vector<TraceEvent> events_of(TraceBuilder& builder)
{
    const TempTrace file(builder.image());
    TraceContents trace = open_trace(file.path());
    StackTable stacks;
    std::vector<TraceEvent> events;
    for_each_event(trace, stacks, [&](const TraceEvent& event) { events.push_back(event); });
    CHECK(trace.damage.empty());
    CHECK(events.size() == trace.event_count);
    return events;
}

} // namespace

TEST_CASE("the events of many streams come in the order of time")
{
    TraceBuilder builder;
    std::mt19937 random(2);
    std::vector<uint64_t> stamps;
    uint64_t stamp = 0;
    for (unsigned i = 0; i < 200'000; ++i) {
        stamp += 1 + random() % 5;
        const auto thread = static_cast<uint32_t>(random() % 20);
        builder.event(thread, {.kind = malloc_, .stamp = stamp, .address = i * 16, .size = i}, random() % 50 == 0);
        stamps.push_back(stamp);
        if (random() % 20'000 == 0) builder.flush(thread);
    }
    const auto events = events_of(builder);
    REQUIRE(events.size() == stamps.size());
    for (size_t i = 0; i < stamps.size(); ++i) {
        REQUIRE(events[i].stamp == stamps[i]);
        REQUIRE(events[i].address == i * 16);
        REQUIRE(events[i].size == i);
    }
}

TEST_CASE("of equal stamps releases come before allocations, whatever the streams are called")
{
    TraceBuilder builder;
    builder.event(0, {.kind = malloc_, .stamp = 100, .address = 0x1000, .size = 1});
    builder.event(0, {.kind = malloc_, .stamp = 200, .address = 0x2000, .size = 1});
    builder.event(1, {.kind = free_, .stamp = 200, .address = 0x2000});
    builder.event(2, {.kind = munmap_, .stamp = 200, .address = 0x3000, .size = 1});
    const auto events = events_of(builder);
    REQUIRE(events.size() == 4);
    CHECK(events[1].kind == free_);
    CHECK(events[2].kind == munmap_);
    CHECK(events[3].kind == malloc_);
}

TEST_CASE("within a stream equal stamps keep their order")
{
    TraceBuilder builder;
    builder.event(0, {.kind = malloc_, .stamp = 5, .address = 0x1000, .size = 1});
    builder.event(0, {.kind = free_, .stamp = 5, .address = 0x1000});
    builder.event(1, {.kind = malloc_, .stamp = 5, .address = 0x2000, .size = 1});
    const auto events = events_of(builder);
    const auto first = std::ranges::find(events, uint64_t{0x1000}, &TraceEvent::address);
    CHECK(first->kind == malloc_);
}

TEST_CASE("stacks are followed from event to event and start anew in each buffer")
{
    TraceBuilder builder;
    const uint32_t a = builder.pc(0xa0), b = builder.pc(0xb0), c = builder.pc(0xc0);
    const std::vector<std::vector<uint32_t>> stacks = {{a, b, c}, {a, b}, {a, b}, {c}, {}, {a, b, c}};
    for (uint64_t i = 0; i < 60; ++i) {
        builder.event(0, {.kind = malloc_, .stamp = i, .address = i * 16, .size = 1, .stack = stacks[i % 6]});
        builder.event(0, {.kind = free_, .stamp = i, .address = i * 16});
        if (i % 7 == 0) builder.flush(0);
    }
    const TempTrace file(builder.image());
    TraceContents trace = open_trace(file.path());
    StackTable table;
    uint64_t i = 0;
    for_each_event(trace, table, [&](const TraceEvent& event) {
        if (event.kind == free_) {
            CHECK(event.stack == StackId{});
            return;
        }
        std::vector<uint64_t> addresses;
        for (const Pc& pc : table.frames(event.stack)) addresses.insert(addresses.begin(), pc.address);
        std::vector<uint64_t> expected;
        for (const uint32_t id : stacks[i++ % 6]) expected.push_back(0x90 + id * 0x10);
        CHECK(addresses == expected);
    });
    CHECK(i == 60);
}

TEST_CASE("events behind the cut are not part of the view")
{
    TraceBuilder builder;
    for (uint64_t i = 0; i < 100; ++i)
        builder.event(static_cast<uint32_t>(i % 3), {.kind = malloc_, .stamp = i, .address = i * 16, .size = 1});
    const TempTrace file(builder.image());
    TraceContents trace = open_trace(file.path());
    trace.cut_stamp = 49;
    StackTable stacks;
    uint64_t count = 0;
    for_each_event(trace, stacks, [&](const TraceEvent&) { ++count; });
    CHECK(count == 50);
}
