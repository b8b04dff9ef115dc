// Events as a thread makes them: rows in a raw buffer, one behind the other.
//
// A row is made of whole words, so that a hook spends a few stores on it; whoever compresses the buffer turns its rows
// into columns (event_encoder.hpp). The buffer is a mapping of the trace file, so what was appended survives the
// process; an event counts once RawBufferHeader::written says so.
#pragma once

#include "format/event.hpp"
#include "format/layout.hpp"

#include <array>
#include <atomic>
#include <bit>
#include <cstring>
#include <emmintrin.h>
#include <span>

namespace leak::format {

// A stack as its difference from the stack of the stream's previous event that had one; ids run from outer to inner.
struct StackDelta {
    uint32_t pop_count = 0;
    uint32_t push_count = 0;
    const uint32_t* pushed_pc_ids = nullptr;
    uint32_t id_bits = UINT32_MAX; // those set in any of the ids, or more
    bool truncated = false;

    [[nodiscard]] bool same() const noexcept { return pop_count == 0 && push_count == 0; }
};

struct EventFields {
    EventKind kind = EventKind::none;
    uint64_t stamp = 0;
    uint64_t address = 0;
    uint64_t size = 0;  // bytes; used where has_size(kind)
    StackDelta stack{}; // used where has_stack(kind)
    uint8_t extra = 0;  // 0: none; else log2 of the alignment, or kMap... flags
};

// A row begins with the op byte: the kind, kOpTruncated, kRowWide. It lies at a multiple of 2 bytes.
// Narrow: u64 op | stamp delta << 8 | (address >> 4) << 21; where the kind has a size: u16 size, u8 pops, u8 pushes,
// and
//         the pushed pc ids, u16 each.
// Wide:   u64 op | extra << 8 | pops << 16 | pushes << 32, u64 stamp, u64 address, u64 size, pc ids, u32 each.
inline constexpr uint8_t kRowWide = 0x80;
inline constexpr uint8_t kRowFlags = static_cast<uint8_t>(~kOpKindMask); // where flags lie
inline constexpr unsigned kRowStampBits = 13;
inline constexpr unsigned kRowAddressShift = 8 + kRowStampBits;
inline constexpr unsigned kRowAddressBits = 47;
static_assert(kRowAddressShift + kRowAddressBits - 4 == 64);
inline constexpr uint32_t kMinRowBytes = 8;
inline constexpr uint32_t kMinSizedRowBytes = 12;
inline constexpr uint32_t kWideRowBytes = 32; // without pc ids

// The second part of a narrow row.
struct RowSize {
    uint16_t size;
    uint8_t pop_count;
    uint8_t push_count;
};
static_assert(kMinRowBytes + sizeof(RowSize) == kMinSizedRowBytes);

// RawBufferHeader::written, taken apart.
[[nodiscard]] constexpr uint32_t rows_end(uint64_t written) noexcept
{
    return static_cast<uint32_t>(written);
}
[[nodiscard]] constexpr uint32_t row_count(uint64_t written) noexcept
{
    return static_cast<uint32_t>(written >> 32);
}

// Appends rows to a raw buffer. Called by the thread that owns the buffer, inside a hook: no allocation, no system
// call, no lock.
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
        const auto bytes = static_cast<uint32_t>(frame_bytes(buffer.frame));
        const uint32_t most = most_row_bytes(bytes);
        starts_end_ = most < kWideRowBytes ? 0 : most - kWideRowBytes + 1;
    }
    // Leaves the buffer to somebody else.
    void detach() noexcept
    {
        buffer_ = &no_buffer_;
        starts_end_ = 0;
    }

    // Of the last event of the buffer, or later where that was not finished; without one, the base stamp.
    [[nodiscard]] uint64_t last_stamp() const noexcept { return previous_stamp_; }

    // By another thread: from some moment on the owner finds no room.
    void recall() noexcept { std::atomic_ref(starts_end_).store(0, std::memory_order_relaxed); }

    // Whether there is a buffer and one more event with `push_count` pushed pc ids is sure to fit.
    [[nodiscard]] bool has_room(uint32_t push_count) const noexcept
    {
        return is_before_end(buffer_->written, push_count);
    }

    // Needs has_room(event.stack.push_count). Stamps of a stream never fall: an earlier one is raised to the last.
    // The pushed pc ids must be readable up to a multiple of kIdsAtOnce of them.
    void append(const EventFields& event) noexcept
    {
        const uint64_t delta = event.stamp < previous_stamp_ ? 0 : event.stamp - previous_stamp_;
        const bool is_done = has_stack(event.kind)  ? append_narrow<true, true>(event, delta)
                             : has_size(event.kind) ? append_narrow<false, true>(event, delta)
                                                    : append_narrow<false, false>(event, delta);
        if (!is_done) append_wide(event, delta);
    }
    // The same for a caller who knows which fields the kind has, with the stamp `delta` after the last one instead of
    // the event's own. False: nothing was done, because there is no room (has_room()), or the event needs a wide row.
    template <bool kHasStack, bool kHasSize>
    [[nodiscard, gnu::always_inline]] bool append_narrow(const EventFields& event, uint64_t delta) noexcept
    {
        RawBufferHeader* const buffer = buffer_;
        const uint64_t written = buffer->written;
        const uint32_t push_count = kHasStack ? event.stack.push_count : 0;
        // What such a row has no room for. A rotated address is too large if one of its low bits is set, too.
        const uint64_t address = std::rotr(event.address, 4);
        uint64_t rest = address >> (kRowAddressBits - 4) | delta >> kRowStampBits | event.extra;
        if constexpr (kHasSize) rest |= event.size >> 16;
        if constexpr (kHasStack) rest |= event.stack.id_bits >> 16 | (event.stack.pop_count | push_count) >> 8;
        if (rest != 0 || !is_before_end(written, push_count)) [[unlikely]]
            return false;
        std::byte* const start = reinterpret_cast<std::byte*>(buffer) + rows_end(written);
        previous_stamp_ += delta;
        uint64_t op = static_cast<uint8_t>(event.kind);
        if constexpr (kHasStack)
            if (event.stack.truncated) op |= kOpTruncated;
        std::byte* at = put(start, op | delta << 8 | address << kRowAddressShift);
        if constexpr (kHasSize)
            at = put(at, static_cast<uint32_t>(event.size) | event.stack.pop_count << 16 | push_count << 24); // RowSize
        if constexpr (kHasStack) at = put_ids<uint16_t>(at, event.stack);
        commit(*buffer, written, static_cast<uint64_t>(at - start));
        return true;
    }

    static constexpr uint32_t kIdsAtOnce = 4;
    // Not used of a buffer's bytes, so that a slot has room for the chunks of as many buffers as another one has, when
    // they are stored as they are; those of the largest buffers each in pages of their own but for its header (Drain).
    [[nodiscard]] static constexpr uint32_t spare_bytes(uint32_t buffer_bytes) noexcept
    {
        return buffer_bytes >= kRawBufferBytes - sizeof(SlotHeader) ? 208 : 64;
    }

    // What a buffer's rows take at most.
    [[nodiscard]] static constexpr uint32_t most_row_bytes(uint32_t buffer_bytes) noexcept
    {
        const uint32_t others = sizeof(RawBufferHeader) + kWrittenOver + spare_bytes(buffer_bytes);
        return buffer_bytes < others ? 0 : buffer_bytes - others;
    }

    // The smallest buffer that is sure to hold an event with a stack of `depth` frames.
    [[nodiscard]] static constexpr uint32_t least_bytes(uint32_t depth) noexcept
    {
        return sizeof(RawBufferHeader) + kWideRowBytes + kWrittenOver + spare_bytes(0) +
               depth * uint32_t{sizeof(uint32_t)};
    }

private:
    [[nodiscard, gnu::always_inline]] bool is_before_end(uint64_t written, uint32_t push_count) const noexcept
    {
        // Where all is zero, because somebody has cut the file, the difference is a very large number.
        constexpr uint32_t kHeader = sizeof(RawBufferHeader);
        return rows_end(written) - kHeader + push_count * uint32_t{sizeof(uint32_t)} <
               std::atomic_ref(const_cast<uint32_t&>(starts_end_)).load(std::memory_order_relaxed);
    }
    void append_wide(const EventFields& event, uint64_t delta) noexcept
    {
        const uint64_t written = buffer_->written;
        std::byte* const start = reinterpret_cast<std::byte*>(buffer_) + rows_end(written);
        const StackDelta stack = has_stack(event.kind) ? event.stack : StackDelta{};
        uint64_t op = static_cast<uint8_t>(event.kind) | kRowWide;
        if (stack.truncated) op |= kOpTruncated;
        previous_stamp_ += delta;
        std::byte* at = put(start, op | uint64_t{event.extra} << 8 | uint64_t{stack.pop_count} << 16 |
                                       uint64_t{stack.push_count} << 32);
        at = put(at, previous_stamp_);
        at = put(at, event.address);
        at = put(at, has_size(event.kind) ? event.size : 0);
        at = put_ids<uint32_t>(at, stack);
        commit(*buffer_, written, static_cast<uint64_t>(at - start));
    }
    // The row behind the rows that were written counts from now on.
    [[gnu::always_inline]] static void commit(RawBufferHeader& buffer, uint64_t written, uint64_t row_bytes) noexcept
    {
        const uint64_t one_more = uint64_t{1} << 32 | row_bytes;
        // Release: whoever sees the count (who compresses, a reader of the live file) sees the rows below it.
        std::atomic_ref(buffer.written).store(written + one_more, std::memory_order_release);
    }
    template <typename T> [[nodiscard]] static std::byte* put(std::byte* at, T value) noexcept
    {
        std::memcpy(at, &value, sizeof value);
        return at + sizeof value;
    }
    template <typename Id>
    [[nodiscard, gnu::always_inline]] static std::byte* put_ids(std::byte* at, const StackDelta& stack) noexcept
    {
        for (uint32_t i = 0; i < stack.push_count; i += kIdsAtOnce) {
            __m128i ids = _mm_loadu_si128(reinterpret_cast<const __m128i*>(stack.pushed_pc_ids + i));
            std::byte* const to = at + i * sizeof(Id);
            if constexpr (sizeof(Id) == sizeof(uint32_t)) {
                _mm_storeu_si128(reinterpret_cast<__m128i*>(to), ids);
            } else { // the low halves
                constexpr int kEven = _MM_SHUFFLE(2, 0, 2, 0);
                ids = _mm_shufflehi_epi16(_mm_shufflelo_epi16(ids, kEven), kEven);
                _mm_storel_epi64(reinterpret_cast<__m128i*>(to), _mm_shuffle_epi32(ids, kEven));
            }
        }
        return at + stack.push_count * sizeof(Id);
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
    // rows: what `written` says was written behind the header; 2-byte aligned. last_stamp: where it is known.
    RowReader(std::span<const std::byte> rows, uint32_t count, uint64_t base_stamp,
              uint64_t last_stamp = UINT64_MAX) noexcept
        : at_(rows.data()), end_(rows.data() + rows.size()), left_(count), stamp_(base_stamp), last_stamp_(last_stamp)
    {
    }

    [[nodiscard]] uint32_t rows_left() const noexcept { return left_; }
    [[nodiscard]] uint64_t stamp() const noexcept { return stamp_; } // of the last event read

    // Where a row's pc ids are put that can't stay where they are.
    using Ids = std::array<uint32_t, kMaxStackDepth>;

    // Fills `event` with the next event; needs rows_left() > 0. nullptr, or what is wrong.
    [[nodiscard]] const char* next(EventFields& event, Ids& ids) noexcept
    {
        if (bytes_left() < kMinRowBytes) return kCut;
        const auto first = read<uint64_t>(0);
        event.kind = static_cast<EventKind>(first & kOpKindMask);
        if (!is_known(event.kind)) return "unknown event kind";
        if ((first & kRowFlags) != (first & (kRowWide | kOpTruncated))) return "an event row has an unknown flag";
        const bool is_wide = (first & kRowWide) != 0;
        uint64_t row_bytes = is_wide ? kWideRowBytes : has_size(event.kind) ? kMinSizedRowBytes : kMinRowBytes;
        if (bytes_left() < row_bytes) return kCut;
        uint64_t stamp = stamp_;
        if (is_wide) {
            stamp = read<uint64_t>(8);
            event.address = read<uint64_t>(16);
            event.size = read<uint64_t>(24);
            event.extra = static_cast<uint8_t>(first >> 8);
            event.stack.pop_count = static_cast<uint16_t>(first >> 16);
            event.stack.push_count = static_cast<uint16_t>(first >> 32);
        } else {
            const Narrow row{first, has_size(event.kind) ? read<RowSize>(kMinRowBytes) : RowSize{}, nullptr};
            stamp += row.stamp_delta();
            event.address = row.address();
            event.size = row.sized.size;
            event.extra = 0;
            event.stack.pop_count = row.sized.pop_count;
            event.stack.push_count = row.sized.push_count;
        }
        if (stamp < stamp_) return "an event is earlier than the one before";
        if (stamp > last_stamp_) return "an event is later than the last one of its buffer";
        event.stack.truncated = (first & kOpTruncated) != 0;
        event.stack.pushed_pc_ids = ids.data();
        if (has_stack(event.kind)) {
            const uint64_t id_bytes = event.stack.push_count * (is_wide ? sizeof(uint32_t) : sizeof(uint16_t));
            if (bytes_left() < row_bytes + id_bytes) return kCut;
            if (event.stack.pop_count > depth_) return "a stack pops more frames than there are";
            const uint32_t depth = depth_ - event.stack.pop_count + event.stack.push_count;
            if (depth > kMaxStackDepth) return "a stack is deeper than the format allows";
            depth_ = depth;
            for (uint32_t i = 0; i < event.stack.push_count; ++i)
                ids[i] = is_wide ? read<uint32_t>(row_bytes + i * sizeof(uint32_t))
                                 : read<uint16_t>(row_bytes + i * sizeof(uint16_t));
            row_bytes += id_bytes;
        }
        event.stamp = stamp_ = stamp;
        at_ += row_bytes;
        --left_;
        return nullptr;
    }

    // A narrow row as it lies there.
    struct Narrow {
        uint64_t first;
        RowSize sized; // where the kind has a size
        const uint16_t* pushed_pc_ids;

        [[nodiscard]] EventKind kind() const noexcept { return static_cast<EventKind>(first & kOpKindMask); }
        [[nodiscard]] uint64_t stamp_delta() const noexcept { return first >> 8 & ((1u << kRowStampBits) - 1); }
        [[nodiscard]] uint64_t address() const noexcept { return first >> kRowAddressShift << 4; }
        [[nodiscard]] bool has_same_stack() const noexcept { return sized.pop_count == 0 && sized.push_count == 0; }
    };

    // The same, if the next row is narrow, sound, and not the very last bytes of the buffer; else false, and it is
    // still the next one.
    [[nodiscard, gnu::always_inline]] bool next_narrow(Narrow& row) noexcept
    {
        if (left_ == 0 || bytes_left() < kMinSizedRowBytes) return false;
        // Another core has written it.
        constexpr size_t kAhead = 1024;
        __builtin_prefetch(at_ + kAhead);
        row.first = read<uint64_t>(0);
        const uint64_t stamp = stamp_ + row.stamp_delta();
        if (!is_known(row.kind()) || (row.first & kRowFlags & ~uint64_t{kOpTruncated}) != 0 || stamp < stamp_ ||
            stamp > last_stamp_)
            return false;
        uint64_t row_bytes = kMinRowBytes;
        if (has_size(row.kind())) {
            row.sized = read<RowSize>(kMinRowBytes);
            row_bytes = kMinSizedRowBytes;
            if (has_stack(row.kind())) {
                row.pushed_pc_ids = reinterpret_cast<const uint16_t*>(at_ + row_bytes);
                row_bytes += row.sized.push_count * sizeof(uint16_t);
                const uint32_t depth = depth_ - row.sized.pop_count + row.sized.push_count;
                if (bytes_left() < row_bytes || row.sized.pop_count > depth_ || depth > kMaxStackDepth) return false;
                depth_ = depth;
            }
        }
        stamp_ = stamp;
        at_ += row_bytes;
        --left_;
        return true;
    }

private:
    static constexpr const char* kCut = "an event row ends early";

    [[nodiscard]] uint64_t bytes_left() const noexcept { return static_cast<uint64_t>(end_ - at_); }
    template <typename T> [[nodiscard]] T read(uint64_t offset) const noexcept
    {
        T value;
        std::memcpy(&value, at_ + offset, sizeof value);
        return value;
    }

    const std::byte* at_;
    const std::byte* end_;
    uint32_t left_;
    uint64_t stamp_;
    uint64_t last_stamp_;
    uint32_t depth_ = 0; // of the stack of the last event that had one
};

} // namespace leak::format
