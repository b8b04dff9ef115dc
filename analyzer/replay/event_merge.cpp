#include "analyzer/replay/event_merge.hpp"

#include <algorithm>
#include <tuple>

namespace leak::analyzer {

bool EventMerge::Head::before(const Head& other) const
{
    // A stream that is not opened comes first: its first event may be a release.
    const auto rank = [](const Head& head) { return !head.opened ? 0 : head.release ? 1 : 2; };
    if (stamp != other.stamp) return stamp < other.stamp;
    return std::tuple(rank(*this), stream) < std::tuple(rank(other), other.stream);
}

EventMerge::EventMerge(TraceContents& trace, StackTable& stacks)
    : trace_(trace), loader_(trace.file, trace.raw_copies, trace.header.version_major),
      context_{trace.pcs, loader_, stacks, trace.damage}
{
    for (const Stream& stream : trace.streams) {
        Head head;
        head.stream = static_cast<uint32_t>(cursors_.size());
        cursors_.emplace_back(stream, context_);
        head.stamp = cursors_.back().first_stamp();
        heap_.push_back(head);
    }
    std::ranges::make_heap(heap_, Later{});
}

// Moves `head` to the next event of its stream; false at the stream's end.
bool EventMerge::advance(Head& head)
{
    StreamCursor& cursor = cursors_[head.stream];
    if (!cursor.next()) return false;
    const StampedEvent& event = cursor.event();
    head.stamp = event.stamp;
    head.release = is_heap_release(event.kind) || is_unmapping(event.kind);
    head.opened = true;
    return true;
}

// Streams come in runs: as long as the current one is the earliest the heap is left alone.
bool EventMerge::next(TraceEvent& event)
{
    if (has_current_) has_current_ = advance(current_);
    for (;;) {
        if (!has_current_) {
            if (heap_.empty()) return false;
            std::ranges::pop_heap(heap_, Later{});
            current_ = heap_.back();
            heap_.pop_back();
        } else if (!heap_.empty() && heap_.front().before(current_)) {
            std::ranges::pop_heap(heap_, Later{});
            std::swap(heap_.back(), current_);
            std::ranges::push_heap(heap_, Later{});
        }
        has_current_ = true;
        if (current_.opened) break;
        has_current_ = advance(current_);
    }
    if (trace_.cut_stamp && current_.stamp > *trace_.cut_stamp) {
        heap_.clear();
        has_current_ = false;
        return false;
    }
    fill(event);
    return true;
}

void EventMerge::fill(TraceEvent& event) const
{
    const StreamCursor& cursor = cursors_[current_.stream];
    const StampedEvent& stamped = cursor.event();
    event.at_ns = trace_.clock.to_ns(stamped.stamp);
    event.stamp = stamped.stamp;
    event.address = stamped.address;
    event.size = stamped.size;
    event.buffer = stamped.buffer;
    event.number = stamped.number;
    event.stack = stamped.stack;
    event.thread = cursor.stream().thread;
    event.level = cursor.stream().level;
    event.stream = current_.stream;
    event.kind = stamped.kind;
    event.extra = stamped.extra;
    event.truncated = stamped.truncated;
}

void for_each_event(TraceContents& trace, StackTable& stacks, const EventVisitor& visit)
{
    EventMerge merge(trace, stacks);
    TraceEvent event;
    while (merge.next(event)) visit(event);
}

} // namespace leak::analyzer
