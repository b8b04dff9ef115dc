// What libleak.so keeps for each thread of the host: its streams of events and the memory they need.
//
// A state is made at a thread's first event and is used by that thread alone. When the thread is about to end it is
// marked; it is taken away when the kernel says that the thread is gone, so events of the last destructors still have
// it.
#pragma once

#include "format/event_rows.hpp"
#include "preload/block_regions.hpp"
#include "preload/buffer_pool.hpp"
#include "preload/fold/thread_end.hpp"
#include "preload/mapped_array.hpp"
#include "preload/private_stack.hpp"
#include "preload/stack_walk.hpp"

#include <cstdint>

namespace leak::preload {

// Room for our own frames, which are cut off.
inline constexpr uint32_t kOwnFrames = 16;

// One thread at one nesting level.
struct Stream {
    format::RowWriter rows;
    RawBuffer* buffer = nullptr; // nullptr before the first event
    uint64_t earlier_events = 0; // in the buffers before
    uint64_t next_sequence = 0;
    PrivateStack stack;
    uint64_t code_epoch = 0; // of the stack walk's pc ids
    uint64_t walk_epoch = 0; // the same, if the walk alone takes stacks
    // Of the outermost level, for blocks in regions where no other thread has recorded (Clock):
    BlockRegions::Owner owner = BlockRegions::kUnknown; // of such regions: the thread
    int32_t stamp_uses = 0;                             // how many of the next events may have the last one's stamp
    uint64_t stamp_beat = 0;                            // the beat when the clock was read
    StackWalk walk;
    void* captured[format::kMaxStackDepth + kOwnFrames]; // by libunwind, innermost first; for the event at hand

    // Buffers with events so far. Of a thread that is gone.
    [[nodiscard]] uint64_t filled_buffers() const noexcept;
    // The buffer is full.
    void leave_buffer() noexcept;
    // Events so far. Any thread; may count a buffer twice that its owner is leaving.
    [[nodiscard]] uint64_t event_count() const noexcept;
};

struct ThreadState {
    ThreadState* next;
    uint32_t index;
    uint32_t tid;
    std::atomic<bool> ending; // pthread keys of the thread are being destroyed
    char name[16];            // as the journal has it
    uint64_t unnoted_bytes;   // of buffers, handed over since threads were looked at
    Stream streams[kLevels];

    [[nodiscard]] uint64_t event_count() const noexcept;
};

class ThreadRegistry {
public:
    // A state for the calling thread; nullptr: no memory. Uses little stack.
    [[nodiscard]] static ThreadState* make() noexcept;

    // Makes the state known and writes the thread to the journal; takes the states of threads that are gone away.
    void enlist(ThreadState& state) noexcept;

    // The thread's last destructors run.
    void note_ending(ThreadState& state) noexcept
    {
        ending_count_.fetch_add(1, std::memory_order_relaxed);
        state.ending.store(true, std::memory_order_release);
    }
    // Under the state lock.
    void reclaim() noexcept;
    [[nodiscard]] uint64_t event_count() const noexcept;
    [[nodiscard]] uint32_t count() const noexcept { return count_; }
    // Indexes that threads have had.
    [[nodiscard]] uint32_t used_indexes() const noexcept { return next_index_; }

    // Has streams hand over their buffers of at least so many bytes at their next event. Under the state lock.
    void recall_buffers(uint32_t bytes) noexcept;
    // Gives those threads that have ended since they were asked for. Any thread; what `ends` held is gone.
    void take_ends(MappedArray<ThreadEnd>& ends) noexcept;

    // In a forked child: at once, and when no hook is using it: forgets and frees all states.
    void unlock() noexcept { ends_lock_.reset(); }
    void reset() noexcept;

private:
    static void release(ThreadState& state) noexcept;
    void note_end(const ThreadState& state) noexcept;

    ThreadState* first_ = nullptr;
    uint32_t count_ = 0;
    std::atomic<uint32_t> ending_count_{0}; // or more
    uint32_t next_index_ = 0;
    uint64_t events_of_gone_threads_ = 0;
    Lock ends_lock_;
    LastingArray<ThreadEnd> ends_; // for the next fold; each thread of them has records in the ring, too
};

// Writes the thread's name to the journal when it has changed. Under the state lock, on the thread itself.
void refresh_name(ThreadState& state) noexcept;

} // namespace leak::preload
