// From a built trace's events to the carried state that the preload would have made of them.
#pragma once

#include "preload/fold/fold_state.hpp"
#include "tests/unit/trace_builder.hpp"

#include <stdexcept>
#include <tuple>
#include <utility>
#include <vector>

namespace leak::test {

// Of a trace by TraceBuilder.
[[nodiscard]] inline preload::HistoryGrid history_grid(size_t most_points = 1'000'000)
{
    return {0, format::history_tick_log2(format::StampClock::monotonic_ns), most_points};
}

// Folds an event. position: TraceBuilder::position() when it was appended to the stream of the thread.
inline void fold(preload::FoldState& state, uint32_t thread, const TestEvent& event,
                 std::pair<uint64_t, uint32_t> position, uint32_t level = 0)
{
    uint32_t stack = 0;
    for (const uint32_t pc : event.stack) stack = state.stacks().child(stack, pc);
    const uint32_t stream = state.stream_of(thread, level);
    state.apply(
        {event.kind, event.extra, event.truncated, event.stamp, event.address, event.size, stack, thread, stream});
    std::tie(state.stream(stream).sequence, state.stream(stream).events) = position;
}

// One that was just appended.
inline void fold(preload::FoldState& state, uint32_t thread, const TestEvent& event, TraceBuilder& trace)
{
    fold(state, thread, event, trace.position(thread));
}

// For TraceBuilder::carry().
[[nodiscard]] inline std::vector<std::byte> written(preload::FoldState& state)
{
    struct Sink {
        std::vector<std::byte> bytes{};
        void part(std::span<const std::byte> part) { bytes.insert(bytes.end(), part.begin(), part.end()); }
    } sink;
    std::vector<std::byte> buffer(format::kMaxPartBytes + 64);
    format::CarriedEncoder encoder(buffer, sink);
    state.settle(UINT64_MAX);
    state.write(encoder);
    if (state.out_of_memory()) throw std::logic_error("no memory");
    return sink.bytes;
}

} // namespace leak::test
