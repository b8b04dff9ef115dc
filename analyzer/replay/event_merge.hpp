// All events of a trace in the order in which they happened: the merge of its streams by stamp. Of events with the
// same stamp releases come first, then the lower stream.
//
// One thread. Memory: one open buffer a stream that has begun and not ended; see stream_cursor.hpp.
#pragma once

#include "analyzer/decode/trace_file.hpp"
#include "analyzer/replay/stream_cursor.hpp"

#include <cstdint>
#include <filesystem>
#include <functional>
#include <vector>

namespace leak::analyzer {

struct TraceEvent {
    int64_t at_ns = 0; // since the start of the trace
    uint64_t stamp = 0;
    uint64_t address = 0;
    uint64_t size = 0;   // bytes; 0 unless has_size(kind)
    uint64_t buffer = 0; // sequence of its buffer in the stream
    StackId stack;       // the empty stack unless has_stack(kind)
    uint32_t number = 0; // events of the buffer up to it
    ThreadId thread;
    uint32_t level = 0;  // > 0: recorded by a signal handler that interrupted the recording of an event
    uint32_t stream = 0; // index into TraceContents::streams
    format::EventKind kind = format::EventKind::none;
    uint8_t extra = 0; // log2 of the alignment (0: the default), or kMap... flags of a mapping
    bool truncated = false;
};

class EventMerge {
public:
    // Reads `trace` and adds to its damage; both must outlive the merge. Ends behind trace.cut_stamp.
    EventMerge(TraceContents& trace, StackTable& stacks);
    EventMerge(const EventMerge&) = delete; // the cursors refer to it
    EventMerge& operator=(const EventMerge&) = delete;

    // Fills `event`; false when there is none left.
    [[nodiscard]] bool next(TraceEvent& event);

private:
    // A stream and when its next event happens; a stream that is not opened yet stands at its first buffer's base.
    struct Head {
        uint64_t stamp = 0;
        uint32_t stream = 0;
        bool opened = false;
        bool release = false;

        [[nodiscard]] bool before(const Head& other) const;
    };
    struct Later {
        bool operator()(const Head& a, const Head& b) const { return b.before(a); }
    };

    [[nodiscard]] bool advance(Head& head);
    void fill(TraceEvent& event) const;

    TraceContents& trace_;
    BufferLoader loader_;
    CursorContext context_;
    std::vector<StreamCursor> cursors_;
    std::vector<Head> heap_; // the streams but the current one; the earliest on top
    Head current_;
    bool has_current_ = false; // its event was handed out: it must be advanced first
};

using EventVisitor = std::function<void(const TraceEvent&)>;

// Calls `visit` for every event of an opened trace, in order of time. Damage goes to trace.damage.
void for_each_event(TraceContents& trace, StackTable& stacks, const EventVisitor& visit);

} // namespace leak::analyzer
