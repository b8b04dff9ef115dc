#include "preload/fold/fold_input.hpp"

#include "format/checksum.hpp"
#include "preload/tracer.hpp"

#include <algorithm>
#include <cstring>
#include <new>

namespace leak::preload {

namespace {

constexpr uint32_t kAtOnce = 4096;

} // namespace

using format::EventChunkHeader;
using format::kColumnCount;
using format::kSlotBytes;

// Reads one stream's buffers, one after the other.
class FoldCursor {
public:
    FoldCursor(FoldInput& input, const FoldBuffer* first, const FoldBuffer* end) noexcept
        : input_(input), next_(first), end_(end), stream_(first->stream), first_stamp_(first->base_stamp)
    {
    }

    [[nodiscard]] const FoldEvent& event() const noexcept { return event_; }
    [[nodiscard]] bool is_open() const noexcept { return is_open_; }
    // Of the event; before the first one, a stamp that it is not before.
    [[nodiscard]] uint64_t stamp() const noexcept { return is_open_ ? event_.stamp : first_stamp_; }
    // Of events with the same stamp the lowest comes first.
    [[nodiscard]] uint64_t kind_rank() const noexcept
    {
        const bool is_release = is_heap_release(event_.kind) || is_unmapping(event_.kind);
        return !is_open_ ? 0 : is_release ? 1 : 2;
    }

    // Goes to the next event; false at the end, or where it can't be read.
    [[nodiscard]] bool next() noexcept
    {
        for (;;) {
            while (left_ == 0)
                if (!open_next()) return false;
            is_open_ = true;
            if (next_of_buffer()) return true;
            if (!in_rows_) return fail();
            if (!give_up_buffer(left_)) return false;
        }
    }

    // The event is folded.
    void note_done() noexcept
    {
        FoldState::StreamState& stream = input_.state_.stream(stream_);
        stream.sequence = sequence_;
        ++stream.events;
        if (left_ == 0 && !is_raw_) leave_buffer(); // else there may come more
    }

private:
    using Decoder = format::BasicEventDecoder<MappedArray<uint64_t>, MappedArray<uint32_t>>;

    [[nodiscard]] bool fail() noexcept
    {
        input_.is_sound_ = false;
        if (columns_.out_of_memory() || numbered_.out_of_memory()) input_.lacks_memory_ = true;
        return false;
    }

    [[nodiscard]] bool next_of_buffer() noexcept
    {
        if (!(in_rows_ ? next_of_rows() : next_of_columns())) return false;
        --left_;
        return true;
    }

    // The host has written into the rows, which nobody has looked at before: what can't be read is lost. False: that
    // is for the next fold, when it is known how many events the buffer has.
    [[nodiscard]] bool give_up_buffer(uint32_t lost_events) noexcept
    {
        if (is_raw_ && next_ == end_) return false;
        input_.lost_events_ += lost_events;
        left_ = 0;
        leave_buffer();
        return true;
    }

    // All of it is folded, or lost.
    void leave_buffer() noexcept
    {
        FoldState::StreamState& stream = input_.state_.stream(stream_);
        stream.sequence = sequence_ + 1;
        stream.events = 0;
    }

    [[nodiscard]] bool open_next() noexcept
    {
        if (next_ == end_) return false;
        const FoldBuffer& buffer = *next_++;
        FoldState::StreamState& stream = input_.state_.stream(stream_);
        sequence_ = buffer.sequence;
        is_raw_ = buffer.is_raw;
        left_ = buffer.event_count;
        stack_ = 0;
        numbered_.clear();
        in_rows_ = is_raw_;
        if (stream.sequence != sequence_) {
            stream.sequence = sequence_;
            stream.events = 0;
        }
        if (stream.events > left_) return fail();
        const uint32_t not_folded = left_ - stream.events;
        if (is_raw_) {
            rows_ = format::RowReader({input_.copies_.begin() + buffer.offset, buffer.bytes}, left_, buffer.base_stamp);
        } else if (const Opened opened = open_chunk(buffer); opened != Opened::whole) {
            return opened == Opened::damaged ? give_up_buffer(not_folded) : fail();
        }
        // What is folded already is read for its stacks.
        while (left_ > not_folded) {
            if (next_of_buffer()) continue;
            return in_rows_ ? give_up_buffer(not_folded) : fail();
        }
        if (left_ == 0 && !is_raw_) leave_buffer();
        return true;
    }

    // damaged: of what is in the file nothing can be had.
    enum class Opened { whole, damaged, not_read };

    [[nodiscard]] Opened open_chunk(const FoldBuffer& buffer) noexcept
    {
        const size_t bytes = sizeof(EventChunkHeader) + buffer.bytes;
        if (!input_.compressed_.resize(bytes)) return Opened::not_read;
        std::byte* const from = input_.compressed_.begin();
        if (os::read_at(input_.fd_, from, bytes, buffer.offset) != static_cast<long>(bytes)) return Opened::not_read;
        EventChunkHeader header{};
        std::memcpy(&header, from, sizeof header);
        uint64_t all = 0;
        for (const uint32_t column : header.column_bytes) all += column;
        if (header.event_count != buffer.event_count || header.stream_sequence != buffer.sequence ||
            all > format::kMaxColumnBytes || !columns_.resize(all))
            return Opened::not_read;
        if (input_.decompressor_.decompress({from + sizeof header, buffer.bytes}, {columns_.begin(), all}) != nullptr)
            return Opened::damaged;
        if (header.frame.kind == format::FrameKind::event_rows) {
            in_rows_ = true;
            rows_ =
                format::RowReader({columns_.begin(), all}, header.event_count, header.base_stamp, header.last_stamp);
            return Opened::whole;
        }
        Decoder::Columns columns;
        const auto* at = reinterpret_cast<const uint8_t*>(columns_.begin());
        for (uint32_t c = 0; c < kColumnCount; ++c) {
            columns[c] = {at, header.column_bytes[c]};
            at += header.column_bytes[c];
        }
        decoder_ = Decoder(columns, header.base_stamp, header.event_count, format::kVersionMajor);
        return Opened::whole;
    }

    // False: the next event can't be read.
    [[nodiscard]] bool next_of_columns() noexcept
    {
        format::DecodedEvent read;
        if (!decoder_.next(read)) return false;
        take(read.kind, read.stamp, read.address, read.size, read.extra, read.truncated);
        if (!has_stack(read.kind)) return true;
        if (read.stack_number != format::DecodedEvent::kNoNumber) {
            stack_ = numbered_[read.stack_number];
        } else {
            change_stack(read.pop_count, read.pushed.data(), static_cast<uint32_t>(read.pushed.size()));
            if (read.has_change) numbered_.push_back(stack_);
        }
        event_.stack = stack_;
        return true;
    }

    [[nodiscard]] bool next_of_rows() noexcept
    {
        format::RowReader::Narrow row{};
        if (!rows_.next_narrow(row)) return next_row_of_any_kind();
        const format::EventKind kind = row.kind();
        take(kind, rows_.stamp(), row.address(), has_size(kind) ? row.sized.size : 0, 0,
             (row.first & format::kOpTruncated) != 0);
        if (!has_stack(kind)) return true;
        if (!row.has_same_stack()) change_stack(row.sized.pop_count, row.pushed_pc_ids, row.sized.push_count);
        event_.stack = stack_;
        return true;
    }

    [[nodiscard, gnu::noinline]] bool next_row_of_any_kind() noexcept
    {
        format::EventFields read;
        if (rows_.next(read, ids_) != nullptr) return false;
        take(read.kind, read.stamp, read.address, read.size, read.extra, read.stack.truncated);
        if (!has_stack(read.kind)) return true;
        change_stack(read.stack.pop_count, ids_.data(), read.stack.push_count);
        event_.stack = stack_;
        return true;
    }

    void take(format::EventKind kind, uint64_t stamp, uint64_t address, uint64_t size, uint8_t extra,
              bool truncated) noexcept
    {
        const uint32_t thread = input_.state_.stream(stream_).thread;
        event_ = {kind, extra, truncated, stamp, address, size, 0, thread, stream_};
    }

    template <typename Id> void change_stack(uint32_t pops, const Id* pushed, uint32_t pushes) noexcept
    {
        StackTree& stacks = input_.state_.stacks();
        for (; pops > 0; --pops) stack_ = stacks.caller(stack_);
        for (uint32_t i = 0; i < pushes; ++i) stack_ = stacks.child(stack_, pushed[i]);
    }

    FoldInput& input_;
    const FoldBuffer* next_;
    const FoldBuffer* end_;
    uint32_t stream_;
    uint64_t first_stamp_;
    uint64_t sequence_ = 0; // of the open buffer
    uint32_t left_ = 0;     // events of it behind the one at hand
    bool is_raw_ = false;   // a copy, to which more may be appended meanwhile
    bool in_rows_ = false;  // not in columns
    bool is_open_ = false;
    FoldEvent event_{};
    uint32_t stack_ = 0; // node of the last stack
    MappedArray<uint32_t> numbered_;
    MappedArray<std::byte> columns_;
    Decoder decoder_{{}, 0, 0, format::kVersionMajor};
    format::RowReader rows_{{}, 0, 0};
    format::RowReader::Ids ids_;
};

bool FoldInput::begin(int fd, uint64_t last_stamp) noexcept
{
    fd_ = fd;
    last_stamp_ = last_stamp;
    latest_ = last_stamp + state_.most_early();
    if (!decompressor_memory_.resize(format::Decompressor::memory_bytes()) ||
        !decompressor_.init({decompressor_memory_.begin(), decompressor_memory_.size()}))
        return false;
    copy_raw_buffers();
    return list_chunks() && arrange() && list_streams();
}

// Before the chunks are looked for: a buffer is freed when its chunk is in the file.
void FoldInput::copy_raw_buffers() noexcept
{
    for (uint32_t i = 0; i < g_tracer.pool.count(); ++i) {
        const format::RawBufferHeader& from = *g_tracer.pool.at(i).header;
        const uint32_t generation =
            std::atomic_ref(const_cast<uint32_t&>(from.generation)).load(std::memory_order_acquire);
        const uint64_t written = std::atomic_ref(const_cast<uint64_t&>(from.written)).load(std::memory_order_acquire);
        const bool is_free = from.state == format::BufferState::free;
        const uint64_t base_stamp = from.base_stamp;
        if ((generation & 1) != 0 || is_free || base_stamp > latest_) continue;
        const uint64_t rows_end = format::rows_end(written);
        if (rows_end < sizeof from || rows_end > g_tracer.pool.at(i).bytes) continue;
        const uint64_t bytes = rows_end - sizeof from;
        const size_t at = copies_.size();
        const uint32_t thread = from.thread_index;
        const uint32_t level = from.level;
        const uint64_t sequence = from.stream_sequence;
        if (!copies_.resize(at + format::align8(bytes))) return;
        std::memcpy(copies_.begin() + at, &from + 1, bytes);
        std::atomic_thread_fence(std::memory_order_acquire);
        if (std::atomic_ref(const_cast<uint32_t&>(from.generation)).load(std::memory_order_relaxed) != generation ||
            state_.has_forgotten(thread)) {
            static_cast<void>(copies_.resize(at));
            continue;
        }
        buffers_.push_back({state_.stream_of(thread, level), format::row_count(written), sequence, base_stamp, at,
                            static_cast<uint32_t>(bytes), true});
    }
}

bool FoldInput::list_chunks() noexcept
{
    for (uint32_t i = 0; i < g_tracer.file.ring().slots(); ++i)
        if (g_tracer.file.ring().may_have_events_before(i, latest_) && !list_chunks_of(i)) return false;
    return true;
}

// From one frame to the next, of which only the heads are read.
bool FoldInput::list_chunks_of(uint32_t slot) noexcept
{
    const uint64_t start = uint64_t{slot} * kSlotBytes;
    for (uint64_t at = sizeof(format::SlotHeader); at + sizeof(EventChunkHeader) <= kSlotBytes;) {
        EventChunkHeader header{};
        if (os::read_at(fd_, &header, sizeof header, start + at) != sizeof header) return false;
        const uint64_t frame = format::frame_bytes(header.frame);
        if (header.frame.magic == format::kFrameMagic && format::is_chunk(header.frame.kind)) {
            if (LEAK_CHECKSUM_UP_TO(header, checksum) != header.checksum) return false;
            if (header.base_stamp <= latest_ && !state_.has_forgotten(header.thread_index))
                buffers_.push_back({state_.stream_of(header.thread_index, header.level), header.event_count,
                                    header.stream_sequence, header.base_stamp, start + at, header.compressed_bytes,
                                    false});
            at += frame + header.compressed_bytes;
        } else if (header.frame.magic == format::kPaddingMagic && frame != 0) {
            at += frame;
        } else {
            return false;
        }
    }
    return true;
}

// Sorts the buffers, leaves out what is folded and what is there twice, and sees that no buffer is missing.
bool FoldInput::arrange() noexcept
{
    if (buffers_.out_of_memory() || copies_.out_of_memory() || state_.out_of_memory()) return false;
    std::sort(buffers_.begin(), buffers_.end(), [](const FoldBuffer& a, const FoldBuffer& b) {
        if (a.stream != b.stream) return a.stream < b.stream;
        if (a.sequence != b.sequence) return a.sequence < b.sequence;
        return a.is_raw < b.is_raw;
    });
    size_t kept = 0;
    for (const FoldBuffer& buffer : buffers_) {
        uint64_t expected = state_.stream(buffer.stream).sequence;
        if (kept > 0 && buffers_[kept - 1].stream == buffer.stream) {
            expected = buffers_[kept - 1].sequence + 1;
            if (buffer.sequence + 1 == expected) continue; // the raw buffer that became the chunk
        }
        if (buffer.sequence < expected) continue;
        if (buffer.sequence > expected) return false;
        buffers_[kept++] = buffer;
    }
    return buffers_.resize(kept);
}

bool FoldInput::list_streams() noexcept
{
    for (const FoldBuffer* from = buffers_.begin(); from != buffers_.end();) {
        const FoldBuffer* to = from + 1;
        while (to != buffers_.end() && to->stream == from->stream) ++to;
        heap_.push_back(static_cast<uint32_t>(streams_.size()));
        streams_.push_back({from, to, nullptr});
        from = to;
    }
    if (heap_.out_of_memory() || streams_.out_of_memory()) return false;
    for (size_t i = heap_.size() / 2; i-- > 0;) sift(i);
    return true;
}

bool FoldInput::open(FoldStream& stream) noexcept
{
    void* memory = unused_;
    if (memory != nullptr)
        unused_ = unused_->next;
    else
        memory = map_own(sizeof(FoldCursor));
    if (memory == nullptr) {
        lacks_memory_ = true;
        is_sound_ = false;
        return false;
    }
    stream.cursor = new (memory) FoldCursor(*this, stream.first, stream.end);
    return true;
}

void FoldInput::close(FoldStream& stream) noexcept
{
    stream.cursor->~FoldCursor();
    unused_ = new (stream.cursor) Unused{unused_};
    stream.cursor = nullptr;
}

uint64_t FoldInput::stamp_of(const FoldStream& stream) const noexcept
{
    return stream.cursor != nullptr ? stream.cursor->stamp() : stream.first->base_stamp;
}

// Of streams with the same stamp. One that is not open comes first: its first event may be a release.
uint64_t FoldInput::rank_of(const FoldStream& stream) const noexcept
{
    const FoldState::StreamState& of = state_.stream(stream.first->stream);
    const uint64_t kind = stream.cursor != nullptr ? stream.cursor->kind_rank() : 0;
    return kind << 62 | uint64_t{of.thread} << 8 | of.level;
}

bool FoldInput::is_before(uint32_t a, uint32_t b) const noexcept
{
    const uint64_t stamp_a = stamp_of(streams_[a]);
    const uint64_t stamp_b = stamp_of(streams_[b]);
    return stamp_a != stamp_b ? stamp_a < stamp_b : rank_of(streams_[a]) < rank_of(streams_[b]);
}

void FoldInput::sift(size_t at) noexcept
{
    for (;;) {
        size_t first = at;
        for (size_t child = 2 * at + 1; child < 2 * at + 3 && child < heap_.size(); ++child)
            if (is_before(heap_[child], heap_[first])) first = child;
        if (first == at) return;
        std::swap(heap_[at], heap_[first]);
        at = first;
    }
}

bool FoldInput::apply_some() noexcept
{
    const bool is_more = merge_some();
    apply_put_off();
    if (!is_more) state_.settle(UINT64_MAX);
    return is_more && is_sound_;
}

// Whether an event of this stamp is to be folded: one behind the last stamp only if a release may wait for it.
bool FoldInput::is_wanted(uint64_t stamp) noexcept
{
    if (stamp <= last_stamp_) return true;
    apply_put_off();
    return stamp <= latest_ && state_.is_waiting();
}

bool FoldInput::merge_some() noexcept
{
    for (uint32_t left = kAtOnce; left > 0;) {
        if (heap_.empty() || !is_sound_) return false;
        FoldStream& first = streams_[heap_[0]];
        if (!is_wanted(stamp_of(first))) return false;
        if (first.cursor == nullptr && !open(first)) return false;
        if (!apply_run(first, left)) {
            close(first);
            heap_[0] = heap_.back();
            heap_.pop_back();
        }
        if (!heap_.empty()) sift(0);
    }
    return true;
}

// Until it is applied, what is known of its block comes nearer.
void FoldInput::put_off(const FoldEvent& event) noexcept
{
    state_.prepare_for(event);
    put_off_[put_off_count_++] = event;
    if (put_off_count_ == kPutOff) apply_put_off();
}

void FoldInput::apply_put_off() noexcept
{
    for (uint32_t i = 0; i < put_off_count_; ++i) state_.apply(put_off_[i]);
    put_off_count_ = 0;
}

// Applies events of the earliest stream as long as they are earlier than those of all others: streams come in runs.
// False: it has none left.
bool FoldInput::apply_run(FoldStream& first, uint32_t& left) noexcept
{
    FoldCursor& cursor = *first.cursor;
    uint64_t others = last_stamp_;
    for (size_t child = 1; child < 3 && child < heap_.size(); ++child) {
        const uint64_t stamp = stamp_of(streams_[heap_[child]]);
        if (stamp <= others) others = stamp - (stamp > 0 ? 1 : 0);
    }
    do {
        if (cursor.is_open()) {
            put_off(cursor.event());
            cursor.note_done();
            --left;
        }
        if (!cursor.next()) return false;
    } while (left > 0 && cursor.stamp() <= others);
    return true;
}

void FoldInput::end() noexcept
{
    for (FoldStream& stream : streams_)
        if (stream.cursor != nullptr) close(stream);
    streams_.clear();
    while (unused_ != nullptr) {
        Unused* const next = unused_->next;
        unmap_own(unused_, sizeof(FoldCursor));
        unused_ = next;
    }
}

} // namespace leak::preload
