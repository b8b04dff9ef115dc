#include "analyzer/replay/stream_cursor.hpp"

#include <algorithm>

namespace leak::analyzer {

uint64_t StreamCursor::first_stamp() const
{
    return stream_->buffers.empty() ? 0 : stream_->buffers.front().base_stamp;
}

bool StreamCursor::next()
{
    if (next_buffer_ == 0 && !stream_->buffers.empty())
        // What is folded already is read for its stacks alone.
        for (uint32_t i = 0; i < stream_->folded_events; ++i)
            if (!next_decoded()) return false;
    return next_decoded();
}

bool StreamCursor::next_decoded()
{
    format::DecodedEvent decoded;
    for (;;) {
        while (!decoder_ || decoder_->events_left() == 0)
            if (!open_next_buffer()) return false;
        const uint32_t left = decoder_->events_left();
        const auto read = decoder_->next(decoded);
        if (!read) {
            give_up_buffer(read.error().what, left);
        } else if (decoded.stamp > stream_->buffers[next_buffer_ - 1].last_stamp) {
            give_up_buffer("an event is later than the last one of its buffer", left);
        } else {
            resolve(decoded);
            return true;
        }
    }
}

bool StreamCursor::open_next_buffer()
{
    decoder_.reset();
    stack_ = {};
    numbered_stacks_.clear();
    if (next_buffer_ == stream_->buffers.size()) {
        close();
        return false;
    }
    const BufferRef& buffer = stream_->buffers[next_buffer_++];
    auto decoder = context_->loader.load(buffer, columns_);
    if (decoder)
        decoder_ = std::make_unique<format::EventDecoder>(std::move(*decoder));
    else
        context_->damage.add(buffer.offset, decoder.error(), buffer.event_count);
    return true;
}

void StreamCursor::give_up_buffer(const std::string& what, uint64_t lost_events)
{
    context_->damage.add(stream_->buffers[next_buffer_ - 1].offset, what, lost_events);
    decoder_.reset();
}

void StreamCursor::close()
{
    columns_ = {};
    numbered_stacks_ = {};
}

void StreamCursor::resolve(const format::DecodedEvent& decoded)
{
    // Within a stream time does not run backwards, whatever a damaged buffer says.
    event_.stamp = std::max(event_.stamp, decoded.stamp);
    event_.address = decoded.address;
    event_.size = decoded.size;
    event_.kind = decoded.kind;
    event_.extra = decoded.extra;
    event_.truncated = decoded.truncated;
    const BufferRef& buffer = stream_->buffers[next_buffer_ - 1];
    event_.buffer = buffer.sequence;
    event_.number = buffer.event_count - decoder_->events_left();
    event_.stack = {};
    if (!has_stack(decoded.kind)) return;
    event_.stack = stack_ = stack_of(decoded);
    if (decoded.has_change) numbered_stacks_.push_back(stack_);
}

StackId StreamCursor::stack_of(const format::DecodedEvent& decoded)
{
    if (decoded.stack_number != format::DecodedEvent::kNoNumber) return numbered_stacks_[decoded.stack_number];
    StackId at = stack_;
    for (uint32_t i = 0; i < decoded.pop_count; ++i) at = context_->stacks.caller(at);
    for (const uint32_t pc_id : decoded.pushed) at = context_->stacks.child(at, context_->pcs[pc_id]);
    return at;
}

} // namespace leak::analyzer
