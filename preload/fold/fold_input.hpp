// The events to be folded, in the order in which they happened: the merge, up to a stamp, of what the file's event
// slots and raw buffers hold.
//
// One thread, which reads while others record and compress: raw buffers are copied (and skipped when they were taken
// into use meanwhile: then their events are in a chunk), and chunks stay as they are until this fold frees their slots.
// Events that are recorded after the copy are later than the stamp, or nothing that was recorded depends on them: a
// hook that has its stamp and not yet its row has not returned. Memory: the copies, and one open
// buffer a stream that has begun and not ended.
#pragma once

#include "format/chunk.hpp"
#include "format/event_decoder.hpp"
#include "format/event_rows.hpp"
#include "preload/fold/fold_state.hpp"

namespace leak::preload {

// A chunk, or the copy of a raw buffer.
struct FoldBuffer {
    uint32_t stream;
    uint32_t event_count;
    uint64_t sequence;
    uint64_t base_stamp;
    uint64_t offset; // of a chunk in the file; of a copy in the memory of copies
    uint32_t bytes;  // of the zstd frames; of the rows
    bool is_raw;
};

class FoldCursor;

// A stream with events to be folded.
struct FoldStream {
    const FoldBuffer* first;
    const FoldBuffer* end;
    FoldCursor* cursor; // from its first event to its last: where threads come and go there are few at any time
};

class FoldInput {
public:
    explicit FoldInput(FoldState& state) noexcept : state_(state) {}
    ~FoldInput() { end(); }
    FoldInput(const FoldInput&) = delete;
    FoldInput& operator=(const FoldInput&) = delete;

    // Finds all events up to `last_stamp` that are not folded yet. fd: the trace file. False: no memory, or an event
    // buffer is missing that must be somewhere.
    [[nodiscard]] bool begin(int fd, uint64_t last_stamp) noexcept;

    // Applies the next events to the state, a few thousand; false when there is none left. The state knows then how far
    // each stream is.
    [[nodiscard]] bool apply_some() noexcept;

    // Whether all of it could be read.
    [[nodiscard]] bool is_sound() const noexcept { return is_sound_; }

    // Events of chunks that the host has written into, which so count as folded.
    [[nodiscard]] uint64_t lost_events() const noexcept { return lost_events_; }

    // Why begin() failed, if it did, or the events can't be read.
    [[nodiscard]] bool out_of_memory() const noexcept
    {
        return lacks_memory_ || compressed_.out_of_memory() || decompressor_memory_.out_of_memory() ||
               buffers_.out_of_memory() || copies_.out_of_memory() || heap_.out_of_memory() || streams_.out_of_memory();
    }

    // Gives the memory back.
    void end() noexcept;

private:
    friend class FoldCursor;

    void copy_raw_buffers() noexcept;
    [[nodiscard]] bool list_chunks() noexcept;
    [[nodiscard]] bool list_chunks_of(uint32_t slot) noexcept;
    [[nodiscard]] bool arrange() noexcept;
    [[nodiscard]] bool list_streams() noexcept;
    [[nodiscard]] bool open(FoldStream& stream) noexcept;
    void close(FoldStream& stream) noexcept;
    void sift(size_t at) noexcept;
    [[nodiscard]] bool is_wanted(uint64_t stamp) noexcept;
    [[nodiscard]] bool merge_some() noexcept;
    void put_off(const FoldEvent& event) noexcept;
    void apply_put_off() noexcept;
    [[nodiscard]] bool apply_run(FoldStream& first, uint32_t& left) noexcept;
    [[nodiscard]] uint64_t stamp_of(const FoldStream& stream) const noexcept;
    [[nodiscard]] uint64_t rank_of(const FoldStream& stream) const noexcept;
    [[nodiscard]] bool is_before(uint32_t a, uint32_t b) const noexcept;

    FoldState& state_;
    int fd_ = -1;
    uint64_t last_stamp_ = 0;
    uint64_t latest_ = 0; // stamp of an allocation that a release up to last_stamp_ may wait for
    bool is_sound_ = true;
    uint64_t lost_events_ = 0;
    bool lacks_memory_ = false;       // one of the cursors
    MappedArray<FoldBuffer> buffers_; // by stream and sequence, after arrange()
    MappedArray<std::byte> copies_;
    MappedArray<std::byte> compressed_; // of the chunk that is being opened
    MappedArray<std::byte> decompressor_memory_;
    format::Decompressor decompressor_;
    MappedArray<FoldStream> streams_;
    MappedArray<uint32_t> heap_; // streams with events left; the earliest on top
    struct Unused {
        Unused* next;
    };
    Unused* unused_ = nullptr; // memory of cursors
    static constexpr uint32_t kPutOff = 32;
    FoldEvent put_off_[kPutOff]; // the next to be applied
    uint32_t put_off_count_ = 0;
};

} // namespace leak::preload
