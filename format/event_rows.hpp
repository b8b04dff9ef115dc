// Events as a thread makes them: rows in a raw buffer, one behind the other.
//
// A row is made of whole words, so that a hook spends a few stores on it; whoever compresses the buffer turns its rows
// into columns (event_encoder.hpp). The buffer is a mapping of the trace file, so what was appended survives the
// process; an event counts once RawBufferHeader::written says so.
#pragma once

#include "format/event.hpp"
#include "format/layout.hpp"

#include <atomic>
#include <cstring>
#include <span>

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
    StackDelta stack{}; // used where has_stack(kind)
    uint8_t extra = 0; // 0: none; else log2 of the alignment, or kMap... flags
};

// A row's first word begins with the op byte: the kind, kOpTruncated, kRowWide.
// Narrow: op | stamp delta << 8 | (address >> 4) << 21, and where the kind has a size a second word:
//         size | extra << 32 | pops << 40 | pushes << 52.
// Wide:   op | extra << 8 | pops << 16 | pushes << 32, then stamp, address and size, each whole.
// Then the pushed pc ids, 4 bytes each. Rows lie at multiples of 4 bytes.
inline constexpr uint8_t kRowWide = 0x80;
inline constexpr unsigned kRowStampBits = 13;
inline constexpr unsigned kRowAddressShift = 8 + kRowStampBits;
inline constexpr unsigned kRowAddressBits = 47;
static_assert(kRowAddressShift + kRowAddressBits - 4 == 64);
static_assert(kMaxStackDepth < 1 << 12);
inline constexpr uint32_t kMinRowBytes = 8;
inline constexpr uint32_t kWideRowBytes = 32; // without pc ids

// RawBufferHeader::written, taken apart.
[[nodiscard]] constexpr uint32_t rows_end(uint64_t written) noexcept
{
    return static_cast<uint32_t>(written);
}
[[nodiscard]] constexpr uint32_t row_count(uint64_t written) noexcept
{
    return static_cast<uint32_t>(written >> 32);
}

// Appends rows to a raw buffer. Called by the thread that owns the buffer, inside a hook: no allocation, no system call,
// no lock.
class RowWriter {
public:
    // Empties the buffer. Its frame header is in place already; `state` and `generation` are the caller's to change.
    void begin(RawBufferHeader& buffer, uint32_t thread_index, uint32_t level, uint64_t stream_sequence,
               uint64_t base_stamp) noexcept
    {
        std::atomic_ref(buffer.written).store(sizeof buffer, std::memory_order_release);
        buffer.thread_index = thread_index;
        buffer.level = level;
        buffer.stream_sequence = stream_sequence;
        buffer.base_stamp = base_stamp;
        buffer_ = &buffer;
        previous_stamp_ = base_stamp;
        starts_end_ = static_cast<uint32_t>(frame_bytes(buffer.frame)) - kWideRowBytes - kWrittenOver + 1;
    }
    // Leaves the buffer to somebody else.
    void detach() noexcept
    {
        buffer_ = &no_buffer_;
        starts_end_ = 0;
    }

    // Whether there is a buffer and one more event with `push_count` pushed pc ids is sure to fit.
    [[nodiscard]] bool has_room(uint32_t push_count) const noexcept
    {
        return rows_end(buffer_->written) + push_count * sizeof(uint32_t) < starts_end_;
    }

    // Needs has_room(event.stack.push_count). Stamps of a stream never fall: an earlier one is raised to the last.
    // The pushed pc ids must be readable up to a multiple of kIdsAtOnce of them.
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
        const uint64_t written = buffer_->written;
        std::byte* const start = reinterpret_cast<std::byte*>(buffer_) + rows_end(written);
        const uint64_t stamp = event.stamp < previous_stamp_ ? previous_stamp_ : event.stamp;
        const uint64_t delta = stamp - previous_stamp_;
        previous_stamp_ = stamp;
        uint64_t op = static_cast<uint8_t>(event.kind);
        if (kHasStack && event.stack.truncated) op |= kOpTruncated;
        uint64_t rest = event.extra;
        if constexpr (kHasSize) rest = event.size >> 32;
        std::byte* at = start;
        if ((delta >> kRowStampBits | event.address >> kRowAddressBits | (event.address & 15) | rest) == 0) [[likely]] {
            at = put(at, op | delta << 8 | event.address << (kRowAddressShift - 4));
            if constexpr (kHasSize) {
                uint64_t second = event.size | uint64_t{event.extra} << 32;
                if (kHasStack)
                    second |= uint64_t{event.stack.pop_count} << 40 | uint64_t{event.stack.push_count} << 52;
                at = put(at, second);
            }
        } else {
            const StackDelta stack = kHasStack ? event.stack : StackDelta{};
            at = put(at, op | kRowWide | uint64_t{event.extra} << 8 | uint64_t{stack.pop_count} << 16 |
                             uint64_t{stack.push_count} << 32);
            at = put(at, stamp);
            at = put(at, event.address);
            at = put(at, kHasSize ? event.size : 0);
        }
        if constexpr (kHasStack) {
            const uint32_t ids = event.stack.push_count;
            for (uint32_t i = 0; i < ids; i += kIdsAtOnce)
                std::memcpy(at + i * sizeof(uint32_t), event.stack.pushed_pc_ids + i, kIdsAtOnce * sizeof(uint32_t));
            at += ids * sizeof(uint32_t);
        }
        const uint64_t one_more = uint64_t{1} << 32 | static_cast<uint64_t>(at - start);
        // Release: whoever sees the count (who compresses, a reader of the live file) sees the rows below it.
        std::atomic_ref(buffer_->written).store(written + one_more, std::memory_order_release);
    }

    static constexpr uint32_t kIdsAtOnce = 4;

private:
    [[nodiscard]] static std::byte* put(std::byte* at, uint64_t word) noexcept
    {
        std::memcpy(at, &word, sizeof word);
        return at + sizeof word;
    }

    static constexpr uint32_t kWrittenOver = (kIdsAtOnce - 1) * sizeof(uint32_t);
    static inline constinit RawBufferHeader no_buffer_{}; // has no room, so is never written

    RawBufferHeader* buffer_ = &no_buffer_;
    uint64_t previous_stamp_ = 0;
    uint32_t starts_end_ = 0; // before it a row may start that pushes nothing
};

// Reads the rows of a raw buffer. Trusts nothing. Any thread; no allocation.
class RowReader {
public:
    // rows: 4-byte aligned, what `written` says was written behind the header.
    RowReader(std::span<const std::byte> rows, uint32_t count, uint64_t base_stamp) noexcept
        : at_(rows.data()), end_(rows.data() + rows.size()), left_(count), stamp_(base_stamp)
    {
    }

    [[nodiscard]] uint32_t rows_left() const noexcept { return left_; }
    [[nodiscard]] uint64_t stamp() const noexcept { return stamp_; } // of the last event read

    // Fills `event` with the next event; needs rows_left() > 0. Its pc ids lie in the buffer. nullptr, or what is wrong.
    [[nodiscard]] const char* next(EventFields& event) noexcept
    {
        if (bytes_left() < kMinRowBytes) return kCut;
        const uint64_t first = word(0);
        event.kind = static_cast<EventKind>(first & kOpKindMask);
        if (!is_known(event.kind)) return "unknown event kind";
        event.stack.truncated = (first & kOpTruncated) != 0;
        uint64_t stamp = stamp_;
        uint64_t row_bytes = kMinRowBytes;
        if ((first & kRowWide) != 0) {
            row_bytes = kWideRowBytes;
            if (bytes_left() < row_bytes) return kCut;
            stamp = word(1);
            event.address = word(2);
            event.size = word(3);
            event.extra = static_cast<uint8_t>(first >> 8);
            event.stack.pop_count = static_cast<uint16_t>(first >> 16);
            event.stack.push_count = static_cast<uint16_t>(first >> 32);
        } else {
            if (has_size(event.kind)) row_bytes += sizeof(uint64_t);
            if (bytes_left() < row_bytes) return kCut;
            const Narrow row{first, has_size(event.kind) ? word(1) : 0, nullptr};
            stamp += row.stamp_delta();
            event.address = row.address();
            event.size = row.size();
            event.extra = row.extra();
            event.stack.pop_count = row.pop_count();
            event.stack.push_count = row.push_count();
        }
        if (stamp < stamp_) return "an event is earlier than the one before";
        event.stack.pushed_pc_ids = reinterpret_cast<const uint32_t*>(at_ + row_bytes);
        if (has_stack(event.kind)) {
            row_bytes += uint64_t{event.stack.push_count} * sizeof(uint32_t);
            if (bytes_left() < row_bytes) return kCut;
            if (event.stack.pop_count > depth_) return "a stack pops more frames than there are";
            depth_ = depth_ - event.stack.pop_count + event.stack.push_count;
            if (depth_ > kMaxStackDepth) return "a stack is deeper than the format allows";
        }
        event.stamp = stamp_ = stamp;
        at_ += row_bytes;
        --left_;
        return nullptr;
    }

    // A row as it lies there.
    struct Narrow {
        uint64_t first;
        uint64_t second; // where the kind has a size
        const uint32_t* pushed_pc_ids;

        [[nodiscard]] EventKind kind() const noexcept { return static_cast<EventKind>(first & kOpKindMask); }
        [[nodiscard]] uint64_t stamp_delta() const noexcept { return first >> 8 & ((1u << kRowStampBits) - 1); }
        [[nodiscard]] uint64_t address() const noexcept { return first >> kRowAddressShift << 4; }
        [[nodiscard]] uint32_t size() const noexcept { return static_cast<uint32_t>(second); }
        [[nodiscard]] uint8_t extra() const noexcept { return static_cast<uint8_t>(second >> 32); }
        [[nodiscard]] uint32_t pop_count() const noexcept { return second >> 40 & 0xfff; }
        [[nodiscard]] uint32_t push_count() const noexcept { return static_cast<uint32_t>(second >> 52); }
        [[nodiscard]] bool has_same_stack() const noexcept { return second >> 40 == 0; }
    };

    // The same, if the next row is narrow, sound, and not the very last word of the buffer; else false, and it is still
    // the next one.
    [[nodiscard, gnu::always_inline]] bool next_narrow(Narrow& row) noexcept
    {
        if (left_ == 0 || bytes_left() < 2 * sizeof(uint64_t)) return false;
        row.first = word(0);
        if (!is_known(row.kind()) || (row.first & kRowWide) != 0) return false;
        uint64_t row_bytes = sizeof row.first;
        if (has_size(row.kind())) {
            row.second = word(1);
            row_bytes += sizeof row.second;
            if (has_stack(row.kind())) {
                row.pushed_pc_ids = reinterpret_cast<const uint32_t*>(at_ + row_bytes);
                row_bytes += uint64_t{row.push_count()} * sizeof(uint32_t);
                const uint32_t depth = depth_ - row.pop_count() + row.push_count();
                if (bytes_left() < row_bytes || row.pop_count() > depth_ || depth > kMaxStackDepth) return false;
                depth_ = depth;
            }
        }
        stamp_ += row.stamp_delta();
        at_ += row_bytes;
        --left_;
        return true;
    }

private:
    static constexpr const char* kCut = "an event row ends early";

    [[nodiscard]] uint64_t bytes_left() const noexcept { return static_cast<uint64_t>(end_ - at_); }
    [[nodiscard]] uint64_t word(uint32_t i) const noexcept
    {
        uint64_t word = 0;
        std::memcpy(&word, at_ + i * sizeof word, sizeof word);
        return word;
    }

    const std::byte* at_;
    const std::byte* end_;
    uint32_t left_;
    uint64_t stamp_;
    uint32_t depth_ = 0; // of the stack of the last event that had one
};

} // namespace leak::format
