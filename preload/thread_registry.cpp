#include "preload/thread_registry.hpp"

#include "preload/os.hpp"
#include "preload/own_memory.hpp"
#include "preload/tracer.hpp"

#include <cstring>
#include <new>

namespace leak::preload {

namespace {

void write_thread(format::RecordType type, const ThreadState& state) noexcept
{
    const format::ThreadRecord record{state.index, state.tid};
    g_tracer.journal.write(type,
                           {format::piece_of(record), format::piece_of_text(state.name, std::strlen(state.name))});
}

} // namespace

void Stream::leave_buffer() noexcept
{
    const std::atomic_ref earlier(earlier_events);
    earlier.store(earlier.load(std::memory_order_relaxed) + format::row_count(buffer->header->written),
                  std::memory_order_release);
    rows.detach();
    std::atomic_ref(buffer).store(nullptr, std::memory_order_release);
}

uint64_t Stream::filled_buffers() const noexcept
{
    // One that was left by a siglongjmp() before its first event will have no chunk.
    const bool is_empty = buffer != nullptr && format::row_count(buffer->header->written) == 0;
    return next_sequence - (is_empty ? 1 : 0);
}

uint64_t Stream::event_count() const noexcept
{
    // The buffer first: so that its events are never missed.
    const RawBuffer* now = std::atomic_ref(const_cast<RawBuffer*&>(buffer)).load(std::memory_order_acquire);
    const uint64_t written = now == nullptr ? 0 : std::atomic_ref(now->header->written).load(std::memory_order_acquire);
    return format::row_count(written) +
           std::atomic_ref(const_cast<uint64_t&>(earlier_events)).load(std::memory_order_acquire);
}

uint64_t ThreadState::event_count() const noexcept
{
    uint64_t sum = 0;
    for (const Stream& stream : streams) sum += stream.event_count();
    return sum;
}

ThreadState* ThreadRegistry::make() noexcept
{
    void* memory = map_own(sizeof(ThreadState));
    if (memory == nullptr) return nullptr;
    auto* state = new (memory) ThreadState; // memory is zero and stays untouched where the type does not set it
    if (state->streams[0].stack.map()) return state;
    unmap_own(memory, sizeof(ThreadState));
    return nullptr;
}

void ThreadRegistry::enlist(ThreadState& state) noexcept
{
    const Locked locked(g_tracer.state_lock);
    state.tid = os::tid();
    reclaim();
    state.index = next_index_++;
    if (state.index == 1) g_block_regions.begin_several();
    state.streams[0].owner = g_block_regions.owner_for(state.index);
    os::thread_name(state.name);
    state.next = first_;
    first_ = &state;
    ++count_;
    write_thread(format::RecordType::thread_started, state);
}

void ThreadRegistry::reclaim() noexcept
{
    if (ending_count_.load(std::memory_order_relaxed) == 0) return;
    const uint32_t process = g_tracer.process();
    const uint32_t self = os::tid();
    for (ThreadState** at = &first_; *at != nullptr;) {
        ThreadState& state = **at;
        // The kernel may have given its number to the calling thread.
        const bool gone = state.ending.load(std::memory_order_acquire) && &state != t_local.state &&
                          (state.tid == self || !os::thread_exists(process, state.tid));
        if (!gone) {
            at = &state.next;
            continue;
        }
        *at = state.next;
        --count_;
        ending_count_.fetch_sub(1, std::memory_order_relaxed);
        events_of_gone_threads_ += state.event_count();
        write_thread(format::RecordType::thread_ended, state);
        note_end(state);
        for (Stream& stream : state.streams)
            if (stream.buffer != nullptr) g_tracer.pool.give_full(*stream.buffer, stream.rows.last_stamp());
        g_tracer.writer.wake();
        release(state);
    }
}

void ThreadRegistry::recall_buffers(uint32_t bytes) noexcept
{
    for (ThreadState* state = first_; state != nullptr; state = state->next)
        for (Stream& stream : state->streams)
            if (const RawBuffer* buffer = std::atomic_ref(stream.buffer).load(std::memory_order_acquire);
                buffer != nullptr && buffer->bytes >= bytes)
                stream.rows.recall();
}

// Where there is no memory the fold keeps what it knows of the thread.
void ThreadRegistry::note_end(const ThreadState& state) noexcept
{
    if (!g_tracer.file.ring().is_bounded()) return;
    ThreadEnd end{state.index, {}};
    for (uint32_t level = 0; level < kLevels; ++level) end.buffers[level] = state.streams[level].filled_buffers();
    const Locked locked(ends_lock_);
    ends_->push_back(end);
}

void ThreadRegistry::take_ends(MappedArray<ThreadEnd>& ends) noexcept
{
    ends.clear();
    const Locked locked(ends_lock_);
    ends = std::move(*ends_);
}

uint64_t ThreadRegistry::event_count() const noexcept
{
    uint64_t sum = events_of_gone_threads_;
    for (const ThreadState* state = first_; state != nullptr; state = state->next) sum += state->event_count();
    return sum;
}

void ThreadRegistry::release(ThreadState& state) noexcept
{
    for (Stream& stream : state.streams) stream.stack.unmap();
    unmap_own(&state, sizeof state);
}

void ThreadRegistry::reset() noexcept
{
    for (ThreadState* state = first_; state != nullptr;) {
        ThreadState* next = state->next;
        release(*state);
        state = next;
    }
    first_ = nullptr;
    count_ = 0;
    ending_count_.store(0, std::memory_order_relaxed);
    next_index_ = 0;
    events_of_gone_threads_ = 0;
    // A thread that is not here may have been changing it: its memory is left alone.
    new (&ends_) LastingArray<ThreadEnd>;
}

void refresh_name(ThreadState& state) noexcept
{
    char name[16];
    os::thread_name(name);
    if (std::strcmp(name, state.name) == 0) return;
    std::memcpy(state.name, name, sizeof name);
    write_thread(format::RecordType::thread_named, state);
}

} // namespace leak::preload
