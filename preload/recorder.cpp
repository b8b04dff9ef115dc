#include "preload/recorder.hpp"

#include "preload/tracer.hpp"

#include <cerrno>

namespace leak::preload {

using format::EventKind;

__thread ThreadLocal t_local;

namespace {

// Enters a nesting level for as long as an event is being recorded, and keeps errno. A signal handler that allocates
// in between finds the level taken and uses the next.
class Recording {
public:
    Recording() noexcept : errno_(errno), level_(t_local.level++)
    {
        std::atomic_signal_fence(std::memory_order_seq_cst);
    }
    ~Recording()
    {
        std::atomic_signal_fence(std::memory_order_seq_cst);
        --t_local.level;
        errno = errno_;
    }
    Recording(const Recording&) = delete;
    Recording& operator=(const Recording&) = delete;

    [[nodiscard]] uint32_t level() const noexcept { return level_; }

private:
    int errno_;
    uint32_t level_;
};

// The stack at the event, in stream.captured: [first, first + count) is the host's, innermost first.
struct HostFrames {
    uint32_t first = 0;
    uint32_t count = 0;
    bool truncated = false;
};

[[nodiscard]] HostFrames capture(Stream& stream, const void* caller) noexcept
{
    const uint32_t depth = g_tracer.settings.depth;
    const uint32_t got = g_tracer.unwinder.capture(stream.captured, depth + kOwnFrames);
    HostFrames frames;
    while (frames.first < got && stream.captured[frames.first] != caller && frames.first < kOwnFrames) ++frames.first;
    if (frames.first == got || frames.first == kOwnFrames) {
        // The walk did not come as far as the hook's caller: keep the one frame that is known.
        stream.captured[0] = const_cast<void*>(caller);
        return {0, 1, true};
    }
    frames.count = got - frames.first;
    if (frames.count > depth) {
        frames.count = depth;
        frames.truncated = true;
    }
    return frames;
}

// The difference between the captured stack and the stream's previous one, which it replaces.
[[nodiscard]] format::StackDelta take_stack(Stream& stream, const HostFrames& frames) noexcept
{
    const auto outer = [&](uint32_t i) { // frame i, counted from the outermost
        return reinterpret_cast<uint64_t>(stream.captured[frames.first + frames.count - 1 - i]);
    };
    uint32_t common = 0;
    const uint64_t epoch = g_tracer.code_epoch();
    if (stream.code_epoch == epoch) {
        const uint32_t most = stream.depth < frames.count ? stream.depth : frames.count;
        while (common < most && stream.pcs[common] == outer(common)) ++common;
    }
    stream.code_epoch = epoch;
    format::StackDelta delta;
    delta.pop_count = stream.depth - common;
    delta.push_count = frames.count - common;
    delta.pushed_pc_ids = stream.pc_ids + common;
    delta.truncated = frames.truncated;
    for (uint32_t i = common; i < frames.count; ++i) {
        stream.pcs[i] = outer(i);
        stream.pc_ids[i] = g_tracer.pc_id(stream.pcs[i]);
    }
    stream.depth = frames.count;
    return delta;
}

// Hands the stream's buffer over and gives it an empty one, in which the next stack must be whole.
[[nodiscard]] bool change_buffer(ThreadState& state, Stream& stream, uint32_t level, uint64_t stamp) noexcept
{
    if (t_local.locks_held != 0) {
        g_tracer.count_lost(format::LossCause::nested_signal);
        return false;
    }
    const uint32_t* shares = format::kInitialShares;
    if (stream.buffer != nullptr) {
        const format::RawBufferHeader& full = *stream.buffer->header;
        for (uint32_t c = 0; c < format::kColumnCount; ++c)
            stream.column_shares[c] = full.column_end[c] - full.column_begin[c];
        shares = stream.column_shares;
        RawBuffer* handed_over = stream.buffer;
        stream.buffer = nullptr;
        g_tracer.pool.give_full(*handed_over);
        g_tracer.writer.wake();
        const Locked locked(g_tracer.state_lock);
        refresh_name(state);
    }
    RawBuffer* buffer = g_tracer.take_buffer();
    if (buffer == nullptr) {
        g_tracer.count_lost(format::LossCause::no_space);
        return false;
    }
    format::RawBufferHeader& header = *buffer->header;
    const std::atomic_ref generation(header.generation);
    generation.store(generation.load(std::memory_order_relaxed) | 1, std::memory_order_release);
    stream.encoder.begin(header, state.index, level, stream.next_sequence++, stamp, g_tracer.settings.depth,
                         *reinterpret_cast<const uint32_t(*)[format::kColumnCount]>(shares));
    std::atomic_ref(header.state).store(format::BufferState::active, std::memory_order_release);
    generation.store(header.generation + 1, std::memory_order_release);
    stream.buffer = buffer;
    return true;
}

void append(ThreadState& state, uint32_t level, format::EventFields& event, const void* caller) noexcept
{
    Stream& stream = state.streams[level];
    if (format::has_stack(event.kind)) event.stack = take_stack(stream, capture(stream, caller));
    if (stream.buffer == nullptr || !stream.encoder.has_room(event.stack.push_count)) {
        if (!change_buffer(state, stream, level, event.stamp)) {
            stream.depth = 0;
            return;
        }
        event.stack.pop_count = 0;
        event.stack.push_count = format::has_stack(event.kind) ? stream.depth : 0;
        event.stack.pushed_pc_ids = stream.pc_ids;
        if (!format::has_stack(event.kind)) stream.depth = 0;
    }
    stream.encoder.append(event);
    std::atomic_ref(state.event_count).store(state.event_count + 1, std::memory_order_relaxed);
}

// The thread's state with a private stack for `level`, made now if need be; nullptr: no memory, or not at this moment.
[[nodiscard]] ThreadState* state_for(uint32_t level) noexcept
{
    ThreadState* state = t_local.state;
    if (state == nullptr) {
        if (t_local.locks_held != 0 || level != 0) return nullptr;
        state = ThreadRegistry::make();
        if (state == nullptr) return nullptr;
        auto enlist = [state] { g_tracer.threads.enlist(*state); };
        on_private_stack(state->streams[0].stack, enlist);
        t_local.state = state;
        g_tracer.watch_thread_end(*state);
    }
    return state->streams[level].stack.map() ? state : nullptr;
}

void record(format::EventFields event, const void* caller) noexcept
{
    const Recording recording;
    const uint32_t level = recording.level();
    ThreadState* state = level < kLevels ? state_for(level) : nullptr;
    if (state == nullptr) {
        g_tracer.count_lost(level == 0 ? format::LossCause::no_memory : format::LossCause::nested_signal);
        return;
    }
    auto work = [&] { append(*state, level, event, caller); };
    on_private_stack(state->streams[level].stack, work);
}

[[nodiscard]] bool wanted() noexcept
{
    return t_local.in_tracer == 0 && g_tracer.recording();
}

[[nodiscard]] uint64_t number(const void* address) noexcept
{
    return reinterpret_cast<uint64_t>(address);
}

} // namespace

void record_allocation(EventKind kind, const void* block, size_t bytes, const void* caller,
                       uint8_t alignment_log2) noexcept
{
    if (!wanted()) return;
    t_local.recorded = block;
    t_local.recorded_kind = kind;
    record({kind, g_tracer.clock.after_allocation(), number(block), bytes, {}, alignment_log2}, caller);
}

void record_release(EventKind kind, const void* block) noexcept
{
    if (!wanted()) return;
    record({kind, g_tracer.clock.before_release(), number(block), 0, {}, 0}, nullptr);
}

void record_mapping(EventKind kind, const void* start, size_t bytes, const void* caller, uint8_t flags) noexcept
{
    if (!wanted()) return;
    record({kind, g_tracer.clock.after_allocation(), number(start), bytes, {}, flags}, caller);
}

void record_unmapping(EventKind kind, const void* start, size_t bytes) noexcept
{
    if (!wanted()) return;
    record({kind, g_tracer.clock.before_release(), number(start), bytes, {}, 0}, nullptr);
}

void record_undo(EventKind kind, const void* start) noexcept
{
    if (!wanted()) return;
    record({kind, g_tracer.clock.after_allocation(), number(start), 0, {}, 0}, nullptr);
}

} // namespace leak::preload
