#include "preload/recorder.hpp"

#include "preload/slow_recorder.hpp"
#include "preload/tracer.hpp"

namespace leak::preload {

using format::EventFields;
using format::EventKind;

__thread ThreadLocal t_local;

namespace {

[[nodiscard]] uint64_t number(const void* address) noexcept
{
    return reinterpret_cast<uint64_t>(address);
}

// Whether our own walk alone takes stacks now. While a dlclose() is under way what is known of code may be wrong.
[[nodiscard]] inline bool can_walk(const Stream& stream) noexcept
{
    return stream.walk_epoch == g_tracer.code_state();
}

// -- stamps --

// Of the next event of a stream: whether it has the stamp of the event before, which may have had it of the one before
// that, up to 32 events in a row (Clock). False: the caller reads the clock.
[[nodiscard, gnu::always_inline]] inline bool shares_last_stamp(Stream& stream) noexcept
{
    constexpr int32_t kMoreUses = 31;
    const uint64_t beat = g_tracer.clock.beats();
    if (--stream.stamp_uses >= 0 && stream.stamp_beat == beat) [[likely]]
        return true;
    stream.stamp_beat = beat;
    stream.stamp_uses = Clock::is_beating(beat) ? kMoreUses : 0;
    return false;
}

// The peak of all threads' memory is to know exactly when larger blocks came,
constexpr size_t kLeastSharpBytes = 4096;
// and when still larger ones went, of which a release does not know: where one begins, all stamps are exact from then
// on. (glibc maps them for themselves, at first.)
constexpr size_t kLeastLargeBytes = 128 << 10;

// When an event happened: `sharp` where others depend on it, `rough` where it may be a little early (Clock); where
// nobody but the thread comes (is_private), that of the event before will do. `own` is no other event's.
enum class Stamp { own, sharp, rough };

[[nodiscard]] uint64_t stamp_at(uint32_t level, Stamp stamp, bool is_private) noexcept
{
    // Of two events, one inside the recording of the other, it is known by their stamps alone which came first.
    if (level != 0) g_tracer.clock.beat();
    if (stamp == Stamp::own) return g_tracer.clock.now();
    if (level == 0 && is_private) {
        Stream& stream = t_local.state->streams[0];
        return shares_last_stamp(stream) ? stream.rows.last_stamp() : g_tracer.clock.early();
    }
    return stamp == Stamp::sharp ? g_tracer.clock.now() : g_tracer.clock.early();
}

// Whether no other thread has recorded events where the block begins. (`owner`: of its region.)
[[nodiscard]] bool is_private(BlockRegions::Owner owner, size_t bytes) noexcept
{
    return t_local.state != nullptr && owner == t_local.state->streams[0].owner && bytes < kLeastSharpBytes;
}

void note_region(const EventFields& event) noexcept
{
    const BlockRegions::Owner mine =
        t_local.state != nullptr ? t_local.state->streams[0].owner : BlockRegions::kUnknown;
    g_block_regions.note(event.address, event.size, mine);
    if (event.size >= kLeastLargeBytes) g_block_regions.note_large(event.address);
}

// -- any event --

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

// Records an event that has its stamp. is_walked: its stack is the one that the stream's walk has just found. Else, if
// it has one, that is left to be taken.
void record_stamped(uint32_t level, EventFields event, HookFrame hook, bool is_walked) noexcept
{
    ThreadState* const state = t_local.state;
    if (state != nullptr && level < kLevels && (is_walked || !format::has_stack(event.kind))) {
        Stream& stream = state->streams[level];
        if (is_walked) event.stack = stream.walk.delta();
        if (stream.rows.has_room(event.stack.push_count)) return stream.rows.append(event);
    }
    record_slowly(level, event, hook, is_walked);
}

[[nodiscard]] bool wanted() noexcept
{
    return t_local.in_tracer == 0 && g_tracer.recording();
}

// hook: of an event with a stack. Stamp and stack are filled in here.
void record(EventFields event, Stamp stamp, HookFrame hook = {}) noexcept
{
    const Recording recording;
    const uint32_t level = recording.level();
    event.stamp = stamp_at(level, stamp, is_private(g_block_regions.owner(event.address), event.size));
    bool is_walked = false;
    if (ThreadState* const state = t_local.state;
        format::has_stack(event.kind) && state != nullptr && level < kLevels && can_walk(state->streams[level]))
        is_walked =
            state->streams[level].walk.walk(hook, g_tracer.pcs, g_tracer.settings.depth) == StackWalk::Result::done;
    // A snapshot that finds the row is to know the region, too. Before the thread's first event nobody knows its
    // number.
    const bool is_first = t_local.state == nullptr;
    if (stamp != Stamp::own && !is_first) note_region(event);
    record_stamped(level, event, hook, is_walked);
    if (stamp != Stamp::own && is_first) note_region(event);
}

[[nodiscard]] bool is_sampled(const void* block, size_t bytes) noexcept
{
    if (!g_tracer.sampling.chooses(bytes)) return false;
    if (g_tracer.sampling.add(block)) return true;
    g_tracer.count_lost(format::LossCause::no_memory);
    return false;
}

void note_allocation(EventKind kind, const void* block) noexcept
{
    t_local.recorded = hidden(block);
    t_local.recorded_kind = kind;
}

[[gnu::noinline]] void* record_any_allocation(EventKind kind, void* block, size_t bytes, HookFrame hook,
                                              uint8_t alignment_log2) noexcept
{
    if (!wanted()) return block;
    note_allocation(kind, block);
    if (g_tracer.sampling.is_on() && kind != EventKind::custom_alloc && !is_sampled(block, bytes)) return block;
    record({.kind = kind, .address = number(block), .size = bytes, .extra = alignment_log2}, Stamp::sharp, hook);
    return block;
}

[[gnu::noinline]] bool record_any_release(EventKind kind, const void* block) noexcept
{
    if (!wanted()) return true;
    if (g_tracer.sampling.is_on() && kind != EventKind::custom_free && !g_tracer.sampling.take(block)) return false;
    record({.kind = kind, .address = number(block)}, Stamp::rough);
    return true;
}

// -- the common event --
//
// Of a thread that has recorded before and is inside no event, in a stack that is known and a buffer that has room.
// What comes to that calls nothing: it needs few registers of the host's, and a processor foretells some 16 returns, of
// which every call nested in ours takes one from the host. All else goes on in one of the functions above and below.

// Enters the thread's outermost level. nullptr: it did not, for the event may be another one.
[[nodiscard, gnu::always_inline]] inline Stream* enter_common() noexcept
{
    if ((t_local.level | t_local.in_tracer) != 0 || !g_tracer.records_all()) [[unlikely]]
        return nullptr;
    t_local.level = 1;
    std::atomic_signal_fence(std::memory_order_seq_cst);
    // Not before: a signal handler may have forked, and taken the child's state away.
    ThreadState* const state = t_local.state;
    if (state != nullptr) [[likely]]
        return &state->streams[0];
    t_local.level = 0;
    return nullptr;
}

[[gnu::always_inline]] inline void leave_common() noexcept
{
    std::atomic_signal_fence(std::memory_order_seq_cst);
    t_local.level = 0;
}

// How much later the event's stamp is than the last one of the stream.
template <Stamp kStamp>
[[nodiscard, gnu::always_inline]] inline uint64_t common_stamp_delta(Stream& stream, bool is_private) noexcept
{
    bool sharp = kStamp == Stamp::sharp;
    if (is_private) [[likely]] {
        if (shares_last_stamp(stream)) [[likely]]
            return 0;
        sharp = false;
    }
    const uint64_t stamp = sharp ? Clock::counter_now() : Clock::counter_early();
    const uint64_t last = stream.rows.last_stamp();
    return stamp > last ? stamp - last : 0;
}

// What is left where the stack is not known (unless is_walked), or where another thread has recorded, or none.
[[gnu::noinline]] void* finish_common_allocation(EventKind kind, void* block, size_t bytes, HookFrame hook,
                                                 bool is_walked) noexcept
{
    note_allocation(kind, block);
    Stream& stream = t_local.state->streams[0];
    is_walked = is_walked ||
                (can_walk(stream) &&
                 stream.walk.walk_by_rules(hook, g_tracer.pcs, g_tracer.settings.depth) == StackWalk::Result::done);
    EventFields event{kind, 0, number(block), bytes};
    event.stamp = stamp_at(0, Stamp::sharp, is_private(g_block_regions.owner(event.address), bytes));
    note_region(event);
    record_stamped(0, event, hook, is_walked);
    leave_common();
    return block;
}

// What is left where the event needs a wide row or another buffer.
[[gnu::noinline]] void* append_common_allocation(EventKind kind, void* block, size_t bytes,
                                                 uint64_t stamp_delta) noexcept
{
    const uint64_t stamp = t_local.state->streams[0].rows.last_stamp() + stamp_delta;
    record_stamped(0, {kind, stamp, number(block), bytes}, {}, true);
    leave_common();
    return block;
}
[[gnu::noinline]] bool append_common_release(EventKind kind, const void* block, uint64_t stamp_delta) noexcept
{
    const uint64_t stamp = t_local.state->streams[0].rows.last_stamp() + stamp_delta;
    record_stamped(0, {.kind = kind, .stamp = stamp, .address = number(block)}, {}, false);
    leave_common();
    return true;
}

} // namespace

[[gnu::hot]] void* record_allocation(EventKind kind, void* block, size_t bytes, HookFrame hook,
                                     uint8_t alignment_log2) noexcept
{
    Stream* const stream = alignment_log2 == 0 ? enter_common() : nullptr;
    if (stream == nullptr) [[unlikely]]
        return record_any_allocation(kind, block, bytes, hook, alignment_log2);
    if (!can_walk(*stream) || !stream->walk.walk_known_way(hook, g_tracer.settings.depth)) [[unlikely]]
        return finish_common_allocation(kind, block, bytes, hook, false);
    const BlockRegions::Owner owner = g_block_regions.owner(number(block), bytes);
    const bool is_own = owner == stream->owner;
    if (is_own ? bytes >= kLeastLargeBytes : !g_block_regions.is_several(owner)) [[unlikely]]
        return finish_common_allocation(kind, block, bytes, hook, true);
    note_allocation(kind, block);
    const uint64_t delta = common_stamp_delta<Stamp::sharp>(*stream, is_own && bytes < kLeastSharpBytes);
    const EventFields event{kind, 0, number(block), bytes, stream->walk.delta()};
    if (!stream->rows.append_narrow<true, true>(event, delta)) [[unlikely]]
        return append_common_allocation(kind, block, bytes, delta);
    leave_common();
    return block;
}

[[gnu::hot]] bool record_release(EventKind kind, const void* block) noexcept
{
    Stream* const stream = enter_common();
    if (stream == nullptr) [[unlikely]]
        return record_any_release(kind, block);
    const BlockRegions::Owner owner = g_block_regions.owner(number(block));
    const bool is_own = owner == stream->owner;
    if (!is_own && !g_block_regions.is_several(owner)) [[unlikely]] {
        leave_common();
        return record_any_release(kind, block);
    }
    const uint64_t delta = common_stamp_delta<Stamp::rough>(*stream, is_own);
    if (!stream->rows.append_narrow<false, false>({.kind = kind, .address = number(block)}, delta)) [[unlikely]]
        return append_common_release(kind, block, delta);
    leave_common();
    return true;
}

void record_mapping(EventKind kind, const void* start, size_t bytes, HookFrame hook, uint8_t flags) noexcept
{
    if (!wanted()) return;
    record({.kind = kind, .address = number(start), .size = bytes, .extra = flags}, Stamp::own, hook);
}

void record_unmapping(EventKind kind, const void* start, size_t bytes) noexcept
{
    if (!wanted()) return;
    record({.kind = kind, .address = number(start), .size = bytes}, Stamp::own);
}

void record_undo(EventKind kind, const void* start) noexcept
{
    if (!wanted()) return;
    // Its release is looked for again.
    if (kind == EventKind::realloc_undo && g_tracer.sampling.is_on() && !g_tracer.sampling.add(start))
        g_tracer.count_lost(format::LossCause::no_memory);
    record({.kind = kind, .address = number(start)}, Stamp::own);
}

} // namespace leak::preload
