// Appends events to a raw buffer, field by field in columns.
//
// Called by the thread that owns the buffer, inside a hook: no allocation, no system call, no lock. The buffer is a
// mapping of the trace file, so what was appended survives the process; an event counts once event_count says so.
#pragma once

#include "format/event.hpp"
#include "format/layout.hpp"
#include "format/varint.hpp"

#include <atomic>
#include <cstring>

namespace leak::format {

// A stack as its difference from the stack of the stream's previous event that had one; ids run from outer to inner.
struct StackDelta {
    uint32_t pop_count = 0;
    uint32_t push_count = 0;
    const uint32_t* pushed_pc_ids = nullptr;
    bool truncated = false;

    [[nodiscard]] bool same() const noexcept { return pop_count == 0 && push_count == 0; }
};

struct EventFields {
    EventKind kind = EventKind::none;
    uint64_t stamp = 0;
    uint64_t address = 0;
    uint64_t size = 0; // bytes; used where has_size(kind)
    StackDelta stack;  // used where has_stack(kind)
    uint8_t extra = 0; // 0: none; else log2 of the alignment, or kMap... flags
};

// The shares of a buffer's columns, in bytes an event, for the first buffer of a thread; later ones follow use.
inline constexpr uint32_t kInitialShares[kColumnCount] = {2, 4, 7, 2, 2, 7, 1};

class EventEncoder {
public:
    // Lays the columns out in proportion to `shares` and empties them. The frame header is in place already; `state`
    // and `generation` are the caller's to change. depth_limit: the most pc ids one event may push, <= kMaxStackDepth.
    void begin(RawBufferHeader& buffer, uint32_t thread_index, uint32_t level, uint64_t stream_sequence,
               uint64_t base_stamp, uint32_t depth_limit, const uint32_t (&shares)[kColumnCount]) noexcept
    {
        buffer_ = &buffer;
        previous_stamp_ = base_stamp;
        previous_address_ = 0;
        std::atomic_ref(buffer.event_count).store(0, std::memory_order_release);
        buffer.thread_index = thread_index;
        buffer.level = level;
        buffer.stream_sequence = stream_sequence;
        buffer.base_stamp = base_stamp;
        buffer.last_stamp = base_stamp;

        uint64_t least = sizeof(RawBufferHeader);
        uint64_t share_sum = 0;
        for (uint32_t c = 0; c < kColumnCount; ++c) {
            least += worst_bytes(c, depth_limit);
            share_sum += shares[c] + 1;
        }
        const uint64_t spare = frame_bytes(buffer.frame) - least;
        uint64_t at = sizeof(RawBufferHeader);
        for (uint32_t c = 0; c < kColumnCount; ++c) {
            buffer.column_begin[c] = buffer.column_end[c] = static_cast<uint32_t>(at);
            at += worst_bytes(c, depth_limit) + spare * (shares[c] + 1) / share_sum;
        }
        buffer.column_begin[kColumnCount] = static_cast<uint32_t>(frame_bytes(buffer.frame));
    }

    [[nodiscard]] RawBufferHeader* buffer() const noexcept { return buffer_; }
    void detach() noexcept { buffer_ = nullptr; }

    // Whether one more event with `push_count` pushed pc ids is sure to fit.
    [[nodiscard]] bool has_room(uint32_t push_count) const noexcept
    {
        for (uint32_t c = 0; c < kColumnCount; ++c)
            if (buffer_->column_begin[c + 1] - buffer_->column_end[c] < worst_bytes(c, push_count)) return false;
        return true;
    }

    // Needs has_room(event.stack.push_count). Stamps of a stream never fall: an earlier one is raised to the last.
    void append(const EventFields& event) noexcept
    {
        RawBufferHeader& b = *buffer_;
        uint8_t op = static_cast<uint8_t>(event.kind);
        if (has_stack(event.kind)) {
            if (event.stack.truncated) op |= kOpTruncated;
            if (event.stack.same()) {
                op |= kOpSameStack;
            } else {
                uint8_t* at = cursor(Column::stack);
                at = put_varint(at, event.stack.pop_count);
                advance(Column::stack, put_varint(at, event.stack.push_count));
                at = cursor(Column::pc);
                for (uint32_t i = 0; i < event.stack.push_count; ++i) at = put_varint(at, event.stack.pushed_pc_ids[i]);
                advance(Column::pc, at);
            }
        }
        const uint64_t stamp = event.stamp < previous_stamp_ ? previous_stamp_ : event.stamp;
        advance(Column::stamp, put_varint(cursor(Column::stamp), stamp - previous_stamp_));
        previous_stamp_ = stamp;
        advance(Column::address, put_address_delta(cursor(Column::address), event.address - previous_address_));
        previous_address_ = event.address;
        if (has_size(event.kind)) advance(Column::size, put_varint(cursor(Column::size), event.size));
        if (event.extra != 0) {
            op |= kOpExtra;
            *cursor(Column::extra) = event.extra;
            advance(Column::extra, cursor(Column::extra) + 1);
        }
        *cursor(Column::op) = op;
        advance(Column::op, cursor(Column::op) + 1);
        b.last_stamp = stamp;
        // Release: whoever sees the count (the writer, a reader of the live file) sees the columns below it.
        std::atomic_ref(b.event_count).store(b.event_count + 1, std::memory_order_release);
    }

private:
    // The most bytes one event can take in a column.
    [[nodiscard]] static constexpr uint32_t worst_bytes(uint32_t column, uint32_t push_count) noexcept
    {
        switch (static_cast<Column>(column)) {
        case Column::op:
        case Column::extra:
            return 1;
        case Column::address:
            return kMaxAddressBytes;
        case Column::stamp:
        case Column::size:
            return kMaxVarintBytes;
        case Column::stack:
            return 6; // two counts <= kMaxStackDepth
        case Column::pc:
            return push_count * 5;
        }
        return 0;
    }

    [[nodiscard]] uint8_t* cursor(Column column) const noexcept
    {
        return reinterpret_cast<uint8_t*>(buffer_) + buffer_->column_end[static_cast<uint32_t>(column)];
    }
    void advance(Column column, const uint8_t* to) noexcept
    {
        buffer_->column_end[static_cast<uint32_t>(column)] =
            static_cast<uint32_t>(to - reinterpret_cast<uint8_t*>(buffer_));
    }

    RawBufferHeader* buffer_ = nullptr;
    uint64_t previous_stamp_ = 0;
    uint64_t previous_address_ = 0;
};

} // namespace leak::format
