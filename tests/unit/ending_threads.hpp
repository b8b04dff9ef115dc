// A trace of a program whose threads end, and what a fold knows of it, that reads chunks and raw buffers as the one in
// the host does. Test code.
#pragma once

#include "tests/unit/fold_helpers.hpp"

#include <deque>
#include <map>
#include <tuple>
#include <utility>

namespace leak::test {

class EndingThreads {
public:
    EndingThreads(TraceBuilder& trace, preload::FoldState& state) : trace_(trace), state_(state) {}

    void event(uint32_t thread, uint32_t level, const TestEvent& event)
    {
        trace_.event(thread, event, level);
        positions_[{thread, level}] = trace_.position(thread, level);
        waiting_.push_back({thread, level, event, positions_[{thread, level}]});
    }
    // The stream's buffer becomes a chunk.
    void flush(uint32_t thread, uint32_t level)
    {
        const auto at = positions_.find({thread, level});
        if (at == positions_.end()) return;
        trace_.flush(thread, level);
        chunks_[{thread, level, at->second.first}] = at->second.second;
    }
    // No more events of the thread. flushed: of its last buffers, too, there are chunks.
    void end(uint32_t thread, bool flushed)
    {
        preload::ThreadEnd end{thread, {}};
        for (uint32_t level = 0; level < preload::kLevels; ++level) {
            if (flushed) flush(thread, level);
            if (const auto at = positions_.find({thread, level}); at != positions_.end())
                end.buffers[level] = at->second.first + 1;
        }
        ends_.push_back(end);
        ended_.push_back(thread);
    }

    [[nodiscard]] size_t waiting() const { return waiting_.size(); }
    // Folds so many of those that are waiting.
    void fold(size_t events)
    {
        for (; events > 0; --events) {
            const Event& next = waiting_.front();
            test::fold(state_, next.thread, next.event, next.position, next.level);
            stamp_ = next.event.stamp;
            waiting_.pop_front();
        }
    }
    // What a fold says at its end, for TraceBuilder::carry().
    [[nodiscard]] std::vector<std::byte> carried()
    {
        state_.settle(UINT64_MAX);
        for (const auto& [chunk, events] : chunks_) finish(chunk, events);
        state_.note_ended(ends_);
        ends_.clear();
        state_.forget_streams();
        return written(state_);
    }
    [[nodiscard]] uint64_t stamp() const { return stamp_; } // of the last event that was folded
    [[nodiscard]] uint64_t forgotten() const
    {
        uint64_t threads = 0;
        for (const uint32_t thread : ended_) threads += state_.has_forgotten(thread);
        return threads;
    }

private:
    struct Event {
        uint32_t thread;
        uint32_t level;
        TestEvent event;
        std::pair<uint64_t, uint32_t> position;
    };
    using Chunk = std::tuple<uint32_t, uint32_t, uint64_t>; // thread, level, sequence

    // A chunk whose events are all folded: the cut lies behind it.
    void finish(const Chunk& chunk, uint32_t events)
    {
        const auto [thread, level, sequence] = chunk;
        if (state_.has_forgotten(thread)) return;
        auto& stream = state_.stream(state_.stream_of(thread, level));
        if (stream.sequence != sequence || stream.events != events) return;
        ++stream.sequence;
        stream.events = 0;
    }

    TraceBuilder& trace_;
    preload::FoldState& state_;
    std::map<std::pair<uint32_t, uint32_t>, std::pair<uint64_t, uint32_t>> positions_; // of each stream's last event
    std::map<Chunk, uint32_t> chunks_;                                                 // events
    std::deque<Event> waiting_;
    preload::MappedArray<preload::ThreadEnd> ends_;
    std::vector<uint32_t> ended_;
    uint64_t stamp_ = 0;
};

} // namespace leak::test
