// Blocks that are handed from thread to thread faster than stamps can tell: what the addresses tell decides.
#include "format/early_releases.hpp"

#include "tests/unit/fold_helpers.hpp"
#include "tests/unit/random_program.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <deque>
#include <map>
#include <random>
#include <tuple>
#include <vector>

using namespace leak;
using namespace leak::test;
using analyzer::ReplayResult;
using enum format::EventKind;

namespace {

constexpr uint64_t kMostEarly = 300; // stamps

struct ThreadEvent {
    uint32_t thread;
    TestEvent event;
    std::pair<uint64_t, uint32_t> position{};
};

// Threads that release each other's blocks at once, and stamp these releases up to kMostEarly early.
class HandOvers {
public:
    HandOvers(unsigned seed, uint32_t threads) : random_(seed), last_(threads) {}

    // ends: begins no realloc.
    [[nodiscard]] ThreadEvent next(uint32_t thread, bool ends)
    {
        now_ += 1 + below(6);
        if (live_.empty() || (moving_[thread] == 0 && below(2) == 0)) return allocation(thread, malloc_);
        if (moving_[thread] != 0) return --moving_[thread], allocation(thread, realloc_);
        auto block = live_.begin();
        std::advance(block, below(live_.size()));
        const bool moves = !ends && below(8) == 0;
        moving_[thread] = moves ? 1 : 0;
        const ThreadEvent event = {
            thread,
            {.kind = moves ? realloc_release : free_, .stamp = stamp(thread, kMostEarly), .address = block->first}};
        live_.erase(block);
        return event;
    }
    [[nodiscard]] const std::map<uint64_t, uint64_t>& live() const { return live_; } // sizes by address
    uint64_t below(uint64_t bound) { return random_() % bound; }

private:
    [[nodiscard]] ThreadEvent allocation(uint32_t thread, format::EventKind kind)
    {
        uint64_t address = 0x1000;
        while (live_.contains(address)) address += 16;
        live_[address] = ++blocks_;
        return {thread, {.kind = kind, .stamp = stamp(thread, 0), .address = address, .size = blocks_}};
    }
    [[nodiscard]] uint64_t stamp(uint32_t thread, uint64_t most_early)
    {
        const uint64_t early = most_early != 0 && below(3) == 0 ? below(most_early) : 0;
        return last_[thread] = std::max(last_[thread], kMostEarly + now_ - early);
    }

    std::mt19937 random_;
    std::vector<uint64_t> last_; // stamps of the threads
    std::map<uint32_t, uint32_t> moving_;
    std::map<uint64_t, uint64_t> live_;
    uint64_t now_ = 0;
    uint64_t blocks_ = 0;
};

// The streams of the threads, merged by stamp; of events with the same one releases first.
[[nodiscard]] std::vector<ThreadEvent> merged(const std::vector<ThreadEvent>& events)
{
    std::map<uint32_t, std::deque<ThreadEvent>> streams;
    for (const ThreadEvent& event : events) streams[event.thread].push_back(event);
    std::vector<ThreadEvent> all;
    while (all.size() < events.size()) {
        const auto order = [](const auto& stream) {
            if (stream.second.empty()) return std::tuple(UINT64_MAX, 0, stream.first);
            const TestEvent& next = stream.second.front().event;
            return std::tuple(next.stamp, is_heap_release(next.kind) ? 0 : 1, stream.first);
        };
        auto first = std::ranges::min_element(streams, {}, order);
        all.push_back(first->second.front());
        first->second.pop_front();
    }
    return all;
}

// Of events in the order of stamps, how many find no block or one too many.
[[nodiscard]] size_t impossible(const std::vector<ThreadEvent>& events)
{
    std::map<uint64_t, bool> live;
    size_t count = 0;
    for (const ThreadEvent& event : events) {
        const bool is_release = is_heap_release(event.event.kind);
        count += live[event.event.address] != is_release;
        live[event.event.address] = !is_release;
    }
    return count;
}

// What the history says of the end is what is left then.
void check_history(const ReplayResult& result)
{
    uint64_t bytes = 0;
    for (const analyzer::LiveBlock& block : result.unfreed) bytes += block.bytes;
    CHECK(result.accounts.history(analyzer::StackAccounts::Table::kHeap).back().live_bytes == bytes);
}

} // namespace

TEST_CASE("blocks that are handed over faster than stamps tell are matched, in a trace and in what is folded of it")
{
    size_t out_of_order = 0;
    for (unsigned seed = 0; seed < 300; ++seed) {
        CAPTURE(seed);
        HandOvers program(seed, 2 + seed % 7);
        TraceBuilder whole;
        std::vector<ThreadEvent> events;
        const uint32_t threads = 2 + seed % 7;
        for (size_t i = 500 + program.below(3000); i > 0; --i) {
            const bool ends = i <= threads;
            events.push_back(program.next(static_cast<uint32_t>(ends ? i - 1 : program.below(threads)), ends));
            whole.event(events.back().thread, events.back().event);
            events.back().position = whole.position(events.back().thread);
            if (program.below(100) == 0) whole.flush(events.back().thread);
        }
        events = merged(events);
        out_of_order += impossible(events);

        ReplayResult expected = replay(whole);
        CHECK(expected.totals.unmatched_releases == 0);
        CHECK(expected.totals.replaced_blocks == 0);
        REQUIRE(expected.unfreed.size() == program.live().size());
        for (const analyzer::LiveBlock& block : expected.unfreed)
            CHECK(program.live().at(block.address) == block.bytes);

        check_history(expected);

        preload::FoldState state(format::StampClock::monotonic_ns);
        REQUIRE(state.init(false, history_grid()));
        for (uint32_t thread = 0; thread < threads; ++thread) static_cast<void>(state.stream_of(thread, 0));
        const size_t folded = program.below(events.size());
        uint64_t stamp = 0;
        size_t i = 0;
        for (; i < events.size() && (i < folded || state.is_waiting()); ++i) {
            fold(state, events[i].thread, events[i].event, events[i].position);
            if (i < folded) stamp = events[i].event.stamp;
        }
        whole.carry(written(state), stamp);
        ReplayResult result = replay(whole);
        check_same(result, expected);
        // What is folded later than an event behind the cut may fall into the next tick of the history.
        if (i == folded) check_same_accounts(result, expected);
    }
    CHECK(out_of_order > 1000);
}

TEST_CASE("a release of nothing counts after a while, and delays nothing")
{
    TraceBuilder trace;
    trace.event(0, {.kind = malloc_, .stamp = 1'000, .address = 0x1000, .size = 1});
    trace.event(1, {.kind = free_, .stamp = 10'000, .address = 0x2000}); // of nothing
    trace.event(1, {.kind = malloc_, .stamp = 10'500, .address = 0x3000, .size = 3});
    trace.event(1, {.kind = malloc_, .stamp = 11'000, .address = 0x1000, .size = 4}); // in place of another
    trace.event(0, {.kind = malloc_, .stamp = 9'000'000, .address = 0x2000, .size = 2});
    const ReplayResult result = replay(trace);
    CHECK(result.totals.unmatched_releases == 1);
    CHECK(result.totals.replaced_blocks == 1);
    REQUIRE(result.unfreed.size() == 3);
    CHECK(result.unfreed[0].allocated_ns == 10'500);
    CHECK(result.unfreed[1].allocated_ns == 11'000);
    CHECK(result.unfreed[2].allocated_ns == 9'000'000);
}

TEST_CASE("what a thread allocates is not what it has released before")
{
    TraceBuilder trace;
    trace.event(0, {.kind = free_, .stamp = 1'000, .address = 0x1000});
    trace.event(0, {.kind = malloc_, .stamp = 1'100, .address = 0x1000, .size = 1});
    const ReplayResult result = replay(trace);
    CHECK(result.totals.unmatched_releases == 1);
    CHECK(result.unfreed.size() == 1);
}

TEST_CASE("a release of an unknown block is not that of the one which takes its place, be there other threads")
{
    TraceBuilder trace;
    trace.event(1, {.kind = malloc_, .stamp = 900, .address = 0x2000, .size = 3});
    trace.event(0, {.kind = free_, .stamp = 1'000, .address = 0x1000});
    trace.event(0, {.kind = malloc_, .stamp = 1'050, .address = 0x1000, .size = 1});
    const ReplayResult result = replay(trace);
    CHECK(result.totals.unmatched_releases == 1);
    CHECK(result.unfreed.size() == 2);
}

TEST_CASE("where an early release has taken the place of another thread's, that one's next block is released")
{
    // Thread 2 releases what thread 1 has got for the block of thread 0.
    TraceBuilder trace;
    trace.event(0, {.kind = malloc_, .stamp = 1'000, .address = 0x1000, .size = 1});
    trace.event(1, {.kind = realloc_release, .stamp = 1'100, .address = 0x1000});
    trace.event(1, {.kind = realloc_, .stamp = 1'200, .address = 0x1000, .size = 2});
    trace.event(2, {.kind = free_, .stamp = 1'050, .address = 0x1000});
    const ReplayResult result = replay(trace);
    CHECK(result.totals.unmatched_releases == 0);
    CHECK(result.totals.replaced_blocks == 0);
    CHECK(result.unfreed.empty());
}

TEST_CASE("a realloc that fails takes back its release, be it early")
{
    TraceBuilder trace;
    trace.event(0, {.kind = malloc_, .stamp = 1'000, .address = 0x1000, .size = 1});
    trace.event(1, {.kind = realloc_release, .stamp = 900, .address = 0x1000});
    trace.event(1, {.kind = realloc_undo, .stamp = 1'100, .address = 0x1000});
    trace.event(0, {.kind = free_, .stamp = 1'200, .address = 0x1000});
    const ReplayResult result = replay(trace);
    CHECK(result.totals.unmatched_releases == 0);
    CHECK(result.unfreed.empty());
}

TEST_CASE("a realloc that waits does not disturb one that goes on when it is over")
{
    for (const bool is_early : {false, true}) { // or of an unknown block
        CAPTURE(is_early);
        TraceBuilder trace;
        trace.event(1, {.kind = malloc_, .stamp = 200, .address = 0x3000, .size = 3});
        trace.event(1, {.kind = realloc_release, .stamp = 1'000, .address = 0x1000});
        trace.event(1, {.kind = realloc_, .stamp = 1'100, .address = 0x2000, .size = 2});
        trace.event(1, {.kind = realloc_release, .stamp = 1'200, .address = 0x3000});
        if (is_early) trace.event(0, {.kind = malloc_, .stamp = 1'300, .address = 0x1000, .size = 1});
        trace.event(0, {.kind = malloc_, .stamp = 20'000, .address = 0x5000, .size = 5});
        trace.event(1, {.kind = realloc_, .stamp = 20'100, .address = 0x4000, .size = 4});
        trace.event(0, {.kind = malloc_, .stamp = 9'000'000, .address = 0x6000, .size = 6});
        const ReplayResult result = replay(trace);
        CHECK(result.totals.unmatched_releases == (is_early ? 0 : 1));
        CHECK(result.unfreed.size() == 4);
        check_history(result);
    }
}
