#include "preload/recorder.hpp"

#include "preload/tracer.hpp"

#include <cerrno>

namespace leak::preload {

using format::EventKind;

__thread ThreadLocal t_local;

namespace {

// Enters a nesting level for as long as an event is being recorded. A signal handler that allocates in between finds
// the level taken and uses the next.
class Recording {
public:
    Recording() noexcept : level_(t_local.level++) { std::atomic_signal_fence(std::memory_order_seq_cst); }
    ~Recording()
    {
        std::atomic_signal_fence(std::memory_order_seq_cst);
        --t_local.level;
    }
    Recording(const Recording&) = delete;
    Recording& operator=(const Recording&) = delete;

    [[nodiscard]] uint32_t level() const noexcept { return level_; }

private:
    uint32_t level_;
};

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

// Whether our own walk alone takes stacks now. While a dlclose() is under way what is known of code may be wrong.
[[nodiscard]] inline bool can_walk(const Stream& stream) noexcept
{
    return stream.walk_epoch == g_tracer.code_state();
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
template <bool kHasStack, bool kHasSize>
[[nodiscard, gnu::always_inline]] inline bool append(Stream& stream, format::EventFields event) noexcept
{
    if (kHasStack) event.stack = stream.walk.delta();
    if (!stream.rows.has_room(event.stack.push_count)) [[unlikely]]
        return false;
    stream.rows.append_fields<kHasStack, kHasSize>(event);
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

// What the quick way leaves: the thread's first event, code or memory not seen before, a full buffer. Runs on a stack
// of our own, because the host's may be small.
template <bool kHasStack, bool kHasSize> [[gnu::noinline]] void
record_slowly(uint32_t level, format::EventFields event, HookFrame hook, bool has_stack_already) noexcept
{
    const int saved_errno = errno;
    // Just before `level` was taken a signal handler may have forked, or another thread have stopped the trace. One
    // look, because recording may be switched back and forth meanwhile; what is about to be stopped is recorded yet.
    const State seen = g_tracer.state();
    const bool is_recording = seen == State::recording && g_tracer.owns_trace();
    ThreadState* state = is_recording && level < kLevels ? state_for(level) : nullptr;
    if (!is_recording) {
        if (seen != State::stopped) g_tracer.count_lost(format::LossCause::nested_signal);
    } else if (state == nullptr) {
        g_tracer.count_lost(level == 0 ? format::LossCause::no_memory : format::LossCause::nested_signal);
    } else if (state->streams[level].buffer == nullptr && g_tracer.must_drop()) {
        g_tracer.count_lost(format::LossCause::overflow);
    } else {
        auto work = [&] {
            Stream& stream = state->streams[level];
            if (!has_stack_already) take_stack(stream, hook, event.stamp);
            if (!append<kHasStack, kHasSize>(stream, event)) append_to_next_buffer(*state, level, event);
        };
        on_private_stack(state->streams[level].stack, work);
    }
    errno = saved_errno;
}

// The template's arguments say which fields the event's kind has. hook: of an event with a stack.
template <bool kHasStack, bool kHasSize> [[gnu::always_inline]] inline void
record(EventKind kind, uint64_t stamp, uint64_t address, uint64_t size, uint8_t extra, HookFrame hook = {}) noexcept
{
    const Recording recording;
    const uint32_t level = recording.level();
    ThreadState* const state = t_local.state;
    bool has_stack = !kHasStack;
    if (state != nullptr && level < kLevels) [[likely]] {
        Stream& stream = state->streams[level];
        if (kHasStack && can_walk(stream))
            has_stack = stream.walk.walk(hook, g_tracer.pcs, g_tracer.settings.depth) == StackWalk::Result::done;
        if (has_stack && append<kHasStack, kHasSize>(stream, {kind, stamp, address, size, {}, extra})) [[likely]]
            return;
    }
    record_slowly<kHasStack, kHasSize>(level, {kind, stamp, address, size, {}, extra}, hook, has_stack);
}

[[nodiscard]] bool wanted() noexcept
{
    return t_local.in_tracer == 0 && g_tracer.recording();
}

// The stamp of an event of a thread that is alone: perhaps that of one of the last 31 (Clock). One inside the
// recording of another shares none: by their stamps alone it is known which of both levels' events came first.
[[nodiscard, gnu::always_inline]] inline uint64_t lone_stamp() noexcept
{
    constexpr uint32_t kMoreUses = 31;
    if (t_local.level != 0) [[unlikely]] {
        g_tracer.clock.beat();
        return g_tracer.clock.early();
    }
    const uint64_t beat = g_tracer.clock.beats();
    if (t_local.stamp_uses_left != 0 && t_local.stamp_beat == beat) [[likely]] {
        --t_local.stamp_uses_left;
        return ~t_local.stamp_complement;
    }
    t_local.stamp_uses_left = 0;
    std::atomic_signal_fence(std::memory_order_seq_cst);
    const uint64_t stamp = g_tracer.clock.early();
    t_local.stamp_complement = ~stamp;
    t_local.stamp_beat = beat;
    std::atomic_signal_fence(std::memory_order_seq_cst);
    t_local.stamp_uses_left = Clock::is_beating(beat) ? kMoreUses : 0;
    return stamp;
}

[[nodiscard]] bool is_alone() noexcept
{
    return g_tracer.threads.is_alone(t_local.state);
}

[[nodiscard]] bool is_sampled(const void* block, size_t bytes) noexcept
{
    if (!g_tracer.sampling.chooses(bytes)) return false;
    if (g_tracer.sampling.add(block)) return true;
    g_tracer.count_lost(format::LossCause::no_memory);
    return false;
}

[[nodiscard]] uint64_t number(const void* address) noexcept
{
    return reinterpret_cast<uint64_t>(address);
}

} // namespace

void* record_allocation(EventKind kind, void* block, size_t bytes, HookFrame hook, uint8_t alignment_log2) noexcept
{
    if (!wanted()) return block;
    t_local.recorded = hidden(block);
    t_local.recorded_kind = kind;
    if (g_tracer.sampling.is_on() && kind != EventKind::custom_alloc && !is_sampled(block, bytes)) return block;
    g_tracer.block_regions.note(number(block), bytes);
    const uint64_t stamp = is_alone() ? lone_stamp() : g_tracer.clock.now();
    record<true, true>(kind, stamp, number(block), bytes, alignment_log2, hook);
    return block;
}

bool record_release(EventKind kind, const void* block) noexcept
{
    if (!wanted()) return true;
    if (g_tracer.sampling.is_on() && kind != EventKind::custom_free && !g_tracer.sampling.take(block)) return false;
    record<false, false>(kind, is_alone() ? lone_stamp() : g_tracer.clock.early(), number(block), 0, 0);
    return true;
}

void record_mapping(EventKind kind, const void* start, size_t bytes, HookFrame hook, uint8_t flags) noexcept
{
    if (!wanted()) return;
    record<true, true>(kind, g_tracer.clock.now(), number(start), bytes, flags, hook);
}

void record_unmapping(EventKind kind, const void* start, size_t bytes) noexcept
{
    if (!wanted()) return;
    record<false, true>(kind, g_tracer.clock.now(), number(start), bytes, 0);
}

void record_undo(EventKind kind, const void* start) noexcept
{
    if (!wanted()) return;
    // Its release is looked for again.
    if (kind == EventKind::realloc_undo && g_tracer.sampling.is_on() && !g_tracer.sampling.add(start))
        g_tracer.count_lost(format::LossCause::no_memory);
    record<false, false>(kind, g_tracer.clock.now(), number(start), 0, 0);
}

} // namespace leak::preload
