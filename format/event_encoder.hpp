// Appends events to a raw buffer, field by field in columns.
//
// Called by the thread that owns the buffer, inside a hook: no allocation, no system call, no lock. The buffer is a
// mapping of the trace file, so what was appended survives the process; an event counts once event_count says so.
#pragma once

#include "format/address_code.hpp"
#include "format/event.hpp"
#include "format/layout.hpp"
#include "format/stack_code.hpp"
#include "format/varint.hpp"

#include <atomic>
#include <cstring>

namespace leak::format {

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
        sure_events_ = 0;
        previous_stamp_ = base_stamp;
        addresses_.begin();
        stacks_.begin();
        std::atomic_ref(buffer.event_count).store(0, std::memory_order_release);
        buffer.thread_index = thread_index;
        buffer.level = level;
        buffer.stream_sequence = stream_sequence;
        buffer.base_stamp = base_stamp;
        buffer.last_stamp = base_stamp;

        uint64_t least = sizeof(RawBufferHeader);
        uint64_t share_sum = 0;
        for (uint32_t c = 0; c < kColumnCount; ++c) {
            least += least_bytes(c, depth_limit);
            share_sum += shares[c] + 1;
        }
        const uint64_t spare = frame_bytes(buffer.frame) - least;
        uint64_t at = sizeof(RawBufferHeader);
        for (uint32_t c = 0; c < kColumnCount; ++c) {
            buffer.column_begin[c] = buffer.column_end[c] = static_cast<uint32_t>(at);
            at += least_bytes(c, depth_limit) + spare * (shares[c] + 1) / share_sum;
        }
        buffer.column_begin[kColumnCount] = static_cast<uint32_t>(frame_bytes(buffer.frame));
    }

    [[nodiscard]] RawBufferHeader* buffer() const noexcept { return buffer_; }
    void detach() noexcept { buffer_ = nullptr; }

    // Whether one more event with `push_count` pushed pc ids is sure to fit.
    [[nodiscard]] bool has_room(uint32_t push_count) noexcept
    {
        constexpr auto pc = static_cast<uint32_t>(Column::pc);
        if (push_count != 0 && buffer_->column_begin[pc + 1] - buffer_->column_end[pc] < worst_bytes(pc, push_count))
            [[unlikely]]
            return false;
        return sure_events_ != 0 || look_for_room();
    }

    // Needs has_room(event.stack.push_count). Stamps of a stream never fall: an earlier one is raised to the last.
    void append(const EventFields& event) noexcept
    {
        if (has_stack(event.kind))
            append_fields<true, true>(event);
        else if (has_size(event.kind))
            append_fields<false, true>(event);
        else
            append_fields<false, false>(event);
    }
    // The same, for a caller who knows which fields the kind has.
    template <bool kHasStack, bool kHasSize>
    [[gnu::always_inline]] void append_fields(const EventFields& event) noexcept
    {
        // All cursors are read before anything is written: a byte that is written might be part of one, for all that
        // the compiler knows.
        RawBufferHeader& b = *buffer_;
        auto* const start = reinterpret_cast<uint8_t*>(&b);
        const auto cursor = [&b, start](Column column) { return start + b.column_end[static_cast<uint32_t>(column)]; };
        const auto advance = [&b, start](Column column, const uint8_t* to) {
            b.column_end[static_cast<uint32_t>(column)] = static_cast<uint32_t>(to - start);
        };
        uint8_t* const op_at = cursor(Column::op);
        uint8_t* const stamp_at = cursor(Column::stamp);
        uint8_t* const address_at = cursor(Column::address);
        uint8_t* const size_at = cursor(Column::size);
        const uint32_t count = b.event_count;
        const uint64_t stamp = event.stamp < previous_stamp_ ? previous_stamp_ : event.stamp;
        const uint64_t stamp_delta = stamp - previous_stamp_;
        previous_stamp_ = stamp;
        sure_events_ -= sure_events_ != 0;

        auto op = static_cast<uint8_t>(event.kind);
        if constexpr (kHasStack) {
            const StackDelta& stack = event.stack;
            if (stack.truncated) op |= kOpTruncated;
            if (stack.same()) {
                op |= kOpSameStack;
            } else {
                append_stack(stack);
            }
        }
        if (event.extra != 0) {
            op |= kOpExtra;
            uint8_t* const extra_at = cursor(Column::extra);
            *extra_at = event.extra;
            advance(Column::extra, extra_at + 1);
        }
        *op_at = op;
        advance(Column::op, op_at + 1);
        advance(Column::stamp, put_small_varint(stamp_at, stamp_delta));
        advance(Column::address, addresses_.put(address_at, event.address, count));
        if constexpr (kHasSize) advance(Column::size, put_medium_varint(size_at, event.size));
        b.last_stamp = stamp;
        // Release: whoever sees the count (the writer, a reader of the live file) sees the columns below it.
        std::atomic_ref(b.event_count).store(count + 1, std::memory_order_release);
    }

private:
    [[gnu::always_inline]] void append_stack(const StackDelta& stack) noexcept
    {
        RawBufferHeader& b = *buffer_;
        auto* const start = reinterpret_cast<uint8_t*>(&b);
        uint32_t& stack_end = b.column_end[static_cast<uint32_t>(Column::stack)];
        uint32_t& pc_end = b.column_end[static_cast<uint32_t>(Column::pc)];
        uint8_t* stack_at = start + stack_end;
        if (const uint32_t number = stacks_.number_of(stack); number != SeenStacks::kNew) {
            stack_at = put_medium_varint(stack_at, uint64_t{number} << 1 | 1);
        } else {
            uint8_t* pc_at = start + pc_end;
            stack_at = put_small_varint(stack_at, uint64_t{stack.pop_count} << 1);
            stack_at = put_small_varint(stack_at, stack.push_count);
            for (uint32_t i = 0; i < stack.push_count; ++i) pc_at = put_medium_varint(pc_at, stack.pushed_pc_ids[i]);
            pc_end = static_cast<uint32_t>(pc_at - start);
        }
        stack_end = static_cast<uint32_t>(stack_at - start);
    }

    // A buffer that has room for fewer events is full: rather a new one than to look again and again.
    static constexpr uint32_t kWorthwhile = 16;

    // For how many events there is sure to be room in all columns but that of the pcs.
    [[gnu::noinline]] bool look_for_room() noexcept
    {
        sure_events_ = UINT32_MAX;
        for (uint32_t c = 0; c < kColumnCount; ++c) {
            if (c == static_cast<uint32_t>(Column::pc)) continue;
            const uint32_t events = (buffer_->column_begin[c + 1] - buffer_->column_end[c]) / worst_bytes(c, 0);
            if (events < sure_events_) sure_events_ = events;
        }
        if (sure_events_ < kWorthwhile) sure_events_ = 0;
        return sure_events_ != 0;
    }

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
            return 8; // two counts <= kMaxStackDepth of 2 bytes, and what put_varint() writes over
        case Column::pc:
            return push_count * 5 + 4;
        }
        return 0;
    }

    // What a column of an empty buffer must have room for.
    [[nodiscard]] static constexpr uint32_t least_bytes(uint32_t column, uint32_t depth_limit) noexcept
    {
        const bool is_pc = column == static_cast<uint32_t>(Column::pc);
        return is_pc ? worst_bytes(column, depth_limit) : kWorthwhile * worst_bytes(column, 0);
    }

    RawBufferHeader* buffer_ = nullptr;
    uint32_t sure_events_ = 0; // see look_for_room()
    uint64_t previous_stamp_ = 0;
    AddressEncoder addresses_;
    SeenStacks stacks_;
};

} // namespace leak::format
