// Reads the events of one stream in order, one buffer in memory at a time.
//
// One thread. Memory: the columns of the current buffer (64 KiB) and what its events refer to; nothing before the
// stream is opened and nothing after its end.
#pragma once

#include "analyzer/decode/event_buffers.hpp"
#include "analyzer/decode/trace_file.hpp"
#include "analyzer/replay/stack_table.hpp"

#include <memory>
#include <vector>

namespace leak::analyzer {

// An event with its stack resolved; times still in stamps.
struct StampedEvent {
    uint64_t stamp = 0;
    uint64_t address = 0;
    uint64_t size = 0;   // bytes; 0 unless has_size(kind)
    uint64_t buffer = 0; // sequence of its buffer
    StackId stack;       // the empty stack unless has_stack(kind)
    uint32_t number = 0; // events of the buffer up to it
    format::EventKind kind = format::EventKind::none;
    uint8_t extra = 0; // log2 of the alignment, or kMap... flags
    bool truncated = false;
};

// What the cursors of one trace share.
struct CursorContext {
    const PcTable& pcs;
    BufferLoader& loader;
    StackTable& stacks;
    DamageLog& damage;
};

class StreamCursor {
public:
    StreamCursor(const Stream& stream, CursorContext& context) : stream_(&stream), context_(&context) {}

    // Whether an event is there to be had. The first call opens the stream; a stream need not be opened before the
    // replay reaches first_stamp().
    [[nodiscard]] bool next();

    // The event next() found.
    [[nodiscard]] const StampedEvent& event() const { return event_; }
    [[nodiscard]] uint64_t first_stamp() const;
    [[nodiscard]] const Stream& stream() const { return *stream_; }

private:
    [[nodiscard]] bool next_decoded();
    [[nodiscard]] bool open_next_buffer();
    void give_up_buffer(const std::string& what, uint64_t lost_events);
    void close();
    void resolve(const format::DecodedEvent& decoded);
    [[nodiscard]] StackId stack_of(const format::DecodedEvent& decoded);

    const Stream* stream_;
    CursorContext* context_;
    size_t next_buffer_ = 0;
    std::vector<std::byte> columns_;
    std::unique_ptr<format::EventDecoder> decoder_; // large: only open streams have one
    StackId stack_;                                 // of the last event of the buffer that had one
    std::vector<StackId> numbered_stacks_;          // of the buffer
    StampedEvent event_;
};

} // namespace leak::analyzer
