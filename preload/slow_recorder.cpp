#include "preload/slow_recorder.hpp"

#include "preload/tracer.hpp"

#include <cerrno>

namespace leak::preload {

namespace {

// The stack by libunwind, in stream.captured: [first, first + count) is the host's, innermost first.
struct HostFrames {
    uint32_t first = 0;
    uint32_t count = 0;
    bool truncated = false;
};

[[nodiscard]] HostFrames capture(Stream& stream, HookFrame hook) noexcept
{
    const uint32_t depth = g_tracer.settings.depth;
    const uint32_t got = g_tracer.unwinder.capture(stream.captured, depth + kOwnFrames);
    auto* const caller = reinterpret_cast<void*>(hook.return_address());
    HostFrames frames;
    while (frames.first < got && stream.captured[frames.first] != caller && frames.first < kOwnFrames) ++frames.first;
    if (frames.first == got || frames.first == kOwnFrames) {
        // The walk did not come as far as the hook's caller: keep the one frame that is known.
        stream.captured[0] = caller;
        return {0, 1, true};
    }
    frames.count = got - frames.first;
    if (frames.count > depth) {
        frames.count = depth;
        frames.truncated = true;
    } else {
        const auto outermost = reinterpret_cast<uint64_t>(stream.captured[got - 1]);
        frames.truncated = g_tracer.pc_info(outermost).rule().kind() != UnwindRule::Kind::outermost;
    }
    return frames;
}

[[nodiscard]] HostFrames follow_frame_pointers(Stream& stream, HookFrame hook) noexcept
{
    HostFrames frames;
    frames.count = stream.walk.follow_frame_pointers(hook, stream.captured, g_tracer.settings.depth, frames.truncated);
    return frames;
}

void take(Stream& stream, const HostFrames& frames) noexcept
{
    stream.walk.take(stream.captured + frames.first, frames.count, frames.truncated,
                     [](uint64_t pc) { return g_tracer.pc_info(pc).id(); });
}

// Walks, and learns what the walk asks for. False: the stack is for libunwind.
[[nodiscard]] bool walk_and_learn(Stream& stream, HookFrame hook) noexcept
{
    for (;;) {
        switch (stream.walk.walk(hook, g_tracer.pcs, g_tracer.settings.depth)) {
        case StackWalk::Result::done:
            return true;
        case StackWalk::Result::unknown_pc:
            if (g_tracer.pc_info(stream.walk.blocked_on()).id() == 0) return false;
            break;
        case StackWalk::Result::unknown_memory:
            if (!stream.walk.reach(hook)) return false;
            break;
        case StackWalk::Result::no_rule:
            return false;
        }
    }
}

// Compares the stack that was walked with the one that libunwind finds.
void verify(Stream& stream, HookFrame hook, uint64_t stamp) noexcept
{
    const HostFrames frames = capture(stream, hook);
    bool same = frames.count == stream.walk.depth();
    for (uint32_t i = 0; same && i < frames.count; ++i)
        same = stream.walk.pc(frames.count - 1 - i) == reinterpret_cast<uint64_t>(stream.captured[frames.first + i]);
    g_tracer.count_verified(same);
    if (!same) g_tracer.note_difference(stream.walk, stream.captured + frames.first, frames.count, stamp);
}

// The stack at the event, where the quick way did not get through. On the private stack.
void take_stack(Stream& stream, HookFrame hook, uint64_t stamp) noexcept
{
    const UnwindMode mode = g_tracer.settings.unwind;
    if (const uint64_t epoch = g_tracer.code_epoch(); stream.code_epoch != epoch) {
        stream.walk.distrust();
        stream.code_epoch = epoch;
        stream.walk_epoch = mode == UnwindMode::automatic ? epoch : 0;
    }
    if (mode == UnwindMode::frame_pointers) return take(stream, follow_frame_pointers(stream, hook));
    if (g_tracer.is_closing())
        stream.walk.distrust();
    else if (mode != UnwindMode::libunwind && walk_and_learn(stream, hook)) {
        if (mode == UnwindMode::verify) verify(stream, hook, stamp);
        return;
    }
    take(stream, capture(stream, hook));
    g_tracer.count_libunwind_stack();
}

// Thread names and ends: looked for now and then. Who holds the lock may be waiting for the writer.
void note_threads(ThreadState& state) noexcept
{
    Lock& lock = g_tracer.state_lock;
    if (!g_tracer.settings.drops_overflow)
        lock.lock();
    else if (!lock.try_lock())
        return;
    refresh_name(state);
    g_tracer.threads.reclaim();
    lock.unlock();
}

// Hands the stream's buffer over and gives it an empty one, in which the next stack must be whole.
[[nodiscard]] bool change_buffer(ThreadState& state, Stream& stream, uint32_t level, uint64_t stamp) noexcept
{
    if (t_local.locks_held != 0) {
        // A smaller event may still fit, but its stack would not be a difference from the last one that is recorded.
        stream.rows.detach();
        g_tracer.count_lost(format::LossCause::nested_signal);
        return false;
    }
    if (stream.buffer != nullptr) {
        RawBuffer* handed_over = stream.buffer;
        stream.leave_buffer();
        g_tracer.pool.give_full(*handed_over, stream.rows.last_stamp());
        g_tracer.writer.wake_for_buffer();
        // However small the buffers are.
        state.unnoted_bytes += handed_over->bytes;
        if (state.unnoted_bytes >= format::kRawBufferBytes / 2) {
            state.unnoted_bytes = 0;
            note_threads(state);
        }
    }
    if (level == 0) g_tracer.sampler.pass_by();
    RawBuffer* buffer = g_tracer.take_buffer(level, stream.next_sequence == 0);
    if (buffer == nullptr || !buffer->is_whole()) {
        if (buffer != nullptr) g_tracer.pool.settle();
        g_tracer.count_lost(g_tracer.loss_without_buffer());
        return false;
    }
    format::RawBufferHeader& header = *buffer->header;
    const std::atomic_ref generation(header.generation);
    generation.store(generation.load(std::memory_order_relaxed) | 1, std::memory_order_release);
    // Not before what the stream has had: the event may have an older stamp.
    const uint64_t base = stamp < stream.rows.last_stamp() ? stream.rows.last_stamp() : stamp;
    stream.rows.begin(header, state.index, level, stream.next_sequence++, base);
    std::atomic_ref(header.state).store(format::BufferState::active, std::memory_order_release);
    generation.store(header.generation + 1, std::memory_order_release);
    std::atomic_ref(stream.buffer).store(buffer, std::memory_order_release);
    return true;
}

// Puts the event, whose stack is the one that was walked, into the stream's buffer. False: there is no room.
[[nodiscard]] bool append(Stream& stream, format::EventFields& event) noexcept
{
    if (format::has_stack(event.kind)) event.stack = stream.walk.delta();
    if (!stream.rows.has_room(event.stack.push_count)) return false;
    stream.rows.append(event);
    return true;
}

// As append(), in a new buffer. On the private stack.
void append_to_next_buffer(ThreadState& state, uint32_t level, format::EventFields& event) noexcept
{
    Stream& stream = state.streams[level];
    // If there is none, the next event finds no room either, and comes here.
    if (!change_buffer(state, stream, level, event.stamp)) return;
    if (format::has_stack(event.kind))
        event.stack = stream.walk.whole();
    else
        stream.walk.forget();
    stream.rows.append(event);
    g_tracer.keep_or_pass_on(stream);
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

} // namespace

void record_slowly(uint32_t level, format::EventFields event, HookFrame hook, bool has_stack_already) noexcept
{
    const int saved_errno = errno;
    // Just before `level` was taken a signal handler may have forked, or another thread have stopped the trace. One
    // look, because recording may be switched back and forth meanwhile; what is about to be stopped is recorded yet.
    const State seen = g_tracer.state();
    const bool is_recording = seen == State::recording && g_tracer.owns_trace();
    // If this event is lost, its stamp and its stack are not those that the next one follows.
    if (t_local.state != nullptr) t_local.state->streams[0].stamp_uses = 0;
    ThreadState* state = is_recording && level < kLevels ? state_for(level) : nullptr;
    if (has_stack_already && state == nullptr) t_local.state->streams[level].rows.detach();
    if (!is_recording) {
        if (seen != State::stopped) g_tracer.count_lost(format::LossCause::nested_signal);
    } else if (state == nullptr) {
        g_tracer.count_lost(level == 0 ? format::LossCause::no_memory : format::LossCause::nested_signal);
    } else if (state->streams[level].buffer == nullptr && g_tracer.must_drop()) {
        g_tracer.count_lost(format::LossCause::overflow);
    } else {
        auto work = [&] {
            Stream& stream = state->streams[level];
            if (format::has_stack(event.kind) && !has_stack_already) take_stack(stream, hook, event.stamp);
            if (!append(stream, event)) append_to_next_buffer(*state, level, event);
        };
        on_private_stack(state->streams[level].stack, work);
    }
    errno = saved_errno;
}

} // namespace leak::preload
