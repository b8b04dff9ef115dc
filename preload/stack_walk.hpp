// The stack at an event, by unwind rules and by what the thread's previous stack was.
//
// A frame that lies where one of the previous stack lay, with the same return address, has the same callers, if their
// return addresses are still in their places (and rbp, where it leads to one). So a walk steps through the innermost
// frames by their rules until it meets such a frame, and then compares the rest. Nothing on the host's stack is
// changed.
//
// To step by a rule takes two loads that wait for each other. So the innermost frames that were walked from a place are
// remembered, the last two ways (PathPair), and compared at once with what is there when a walk begins in that place
// again.
//
// Each stream has one; the owning thread alone uses it, on the host's stack: no lock, no system call, no allocation.
#pragma once

#include "format/event_rows.hpp"
#include "format/layout.hpp"
#include "preload/pc_table.hpp"
#include "preload/stack_range.hpp"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <emmintrin.h>
#include <type_traits>

namespace leak::preload {

// The frame of a hook, called by the frame that is shown first. Holds what a tail call leaves in place.
struct HookFrame {
    uint64_t caller_rbp;
    const uint64_t* return_slot; // where the hook's return address lies

    [[nodiscard]] uint64_t return_address() const noexcept { return *return_slot; }

    // frame_address: of a function with a frame pointer.
    [[nodiscard, gnu::always_inline]] static HookFrame of(const void* frame_address) noexcept
    {
        const auto* const frame = static_cast<const uint64_t*>(frame_address);
        return {frame[0], frame + 1};
    }
};
#define LEAK_HOOK_FRAME leak::preload::HookFrame::of(__builtin_frame_address(0))

// The negative control of the tests: without it stacks are wrong, and a test that does not notice is worth nothing.
#ifdef LEAK_NO_SLOT_VERIFICATION
inline constexpr bool kVerifySlots = false;
#else
inline constexpr bool kVerifySlots = true;
#endif

class StackWalk {
public:
    enum class Result {
        done,
        unknown_pc,     // blocked_on() has no pc id yet
        unknown_memory, // blocked_on() is not known to be readable
        no_rule,        // blocked_on() is a pc without a rule, or leads nowhere: the stack is for libunwind
    };

    // Walks the stack of the hook's caller and, when it is done, makes it the current one. `depth`: frames kept, from
    // the innermost; 1 to kMaxStackDepth.
    [[nodiscard]] Result walk(HookFrame hook, const PcTable& table, uint32_t depth) noexcept
    {
        return walk_known_way(hook, depth) ? Result::done : walk_by_rules(hook, table, depth);
    }
    // The two parts of it. The first, which is inlined, is done if the way is one of those remembered; false: nothing
    // was done.
    [[nodiscard, gnu::always_inline]] bool walk_known_way(HookFrame hook, const uint32_t& depth) noexcept;
    [[nodiscard, gnu::noinline]] Result walk_by_rules(HookFrame hook, const PcTable& table, uint32_t depth) noexcept;
    [[nodiscard]] uint64_t blocked_on() const noexcept { return blocked_on_; }
    // Finds out about the memory that walk() has asked for. False: it can't be read.
    [[nodiscard]] bool reach(HookFrame hook) noexcept;

    // LEAK_UNWIND=fp: the return addresses along the chain of frame pointers, innermost first; the number of them, at
    // most `depth`. truncated: the chain goes on, or does not end as it does where a thread began.
    [[nodiscard]] uint32_t follow_frame_pointers(HookFrame hook, void** return_addresses, uint32_t depth,
                                                 bool& truncated) noexcept;

    // Makes a stack that another unwinder found the current one. Return addresses run from inner to outer, at most
    // kMaxStackDepth of them; id_of(pc) names one.
    template <typename IdOf>
    void take(void* const* return_addresses, uint32_t count, bool truncated, IdOf&& id_of) noexcept
    {
        uint32_t same = first_ == 0 && !is_outdated_ ? count_ : 0;
        for (uint32_t i = 0; i < count; ++i) {
            const auto pc = reinterpret_cast<uint64_t>(return_addresses[count - 1 - i]);
            if (i < same && frame(i).pc == pc) continue;
            if (i < same) same = i;
            frame(i).pc = pc;
            pc_ids_[i] = id_of(pc);
        }
        change_to(count, 0, same, truncated);
        can_match_ = is_whole_ = false;
        id_bits_ = UINT32_MAX;
    }

    // Code was unmapped: the pc ids of the stack before are out of date, so the next one shares no frame with it.
    void distrust() noexcept
    {
        can_match_ = is_whole_ = false;
        is_outdated_ = true;
        std::memset(pair_from_, 0, sizeof pair_from_);
        paths_[0].innermost.slot = 0;
    }
    // The reader does not have the stack before: the next one is a difference to no frames at all.
    void forget() noexcept
    {
        can_match_ = is_whole_ = false;
        count_ = first_ = 0;
    }

    // -- the current stack, outermost first, and its difference to the one before --
    [[nodiscard]] uint32_t depth() const noexcept { return count_ - first_; }
    [[nodiscard]] uint64_t pc(uint32_t i) const noexcept { return memo_[first_ + i].pc; }
    [[nodiscard]] const uint32_t* pc_ids() const noexcept { return pc_ids_ + first_; }
    [[nodiscard]] bool truncated() const noexcept { return truncated_; }
    [[nodiscard]] format::StackDelta delta() const noexcept
    {
        return {pop_count_, count_ - common_, pc_ids_ + common_, id_bits_, truncated_};
    }
    // The same to no frames at all.
    [[nodiscard]] format::StackDelta whole() const noexcept
    {
        return {0, depth(), pc_ids_ + first_, UINT32_MAX, truncated_};
    }

private:
    // Where a return address lies, and what it is: into the function whose frame begins right above.
    struct Frame {
        uint64_t slot;
        uint64_t pc;
        [[nodiscard, gnu::always_inline]] bool is_there() const noexcept { return word_at(slot) == pc; }
        bool operator==(const Frame&) const = default;
    };
    struct FrameRegister {
        uint64_t rbp;   // in this frame
        bool leads_out; // this frame's rule or that of an outer one uses it
    };
    struct WalkedFrame {
        Frame frame;
        PcInfo info;
    };
    // Frames that no rbp leads through, outermost first, and the next outer one.
    static constexpr uint32_t kPathFrames = 4;
    struct Path {
        Frame met;
        Frame frames[kPathFrames];
        uint32_t pc_ids[kPathFrames];
        uint32_t id_bits;
        uint32_t kept; // frames of the stack down to `met`
        // Whether in its places is what was there. All can be read from the innermost frame up to `met`.
        [[nodiscard, gnu::always_inline]] bool is_there() const noexcept
        {
            return frames[3].is_there() && frames[2].is_there() && frames[1].is_there() && frames[0].is_there() &&
                   met.is_there();
        }
        [[nodiscard]] bool has_frames_of(const Path& other) const noexcept
        {
            return met == other.met && std::equal(frames, frames + kPathFrames, other.frames);
        }
    };
    // From one place: the innermost frame is the same.
    struct alignas(256) PathPair {
        Path paths[2];
        Frame innermost;
        uint64_t top; // the outermost slot of both
        uint16_t count;
        uint16_t older; // of both, the one noted first; of one: the other
        [[nodiscard]] bool begins_at(uint64_t slot, uint64_t pc) const noexcept
        {
            return innermost.slot == slot && innermost.pc == pc;
        }
    };
    static_assert(sizeof(PathPair) == 256);
    // A word besides the return addresses that must not have changed when frame(from) or one inside it is met: what
    // the rule of a realigned frame reads, and, from the frame inside it on, the rbp of a frame that was restored from
    // memory and leads out. Sorted.
    struct Check {
        const uint64_t* at;
        uint64_t value;
        uint32_t from;
        [[nodiscard]] bool holds() const noexcept { return *at == value; }
    };

    static_assert(std::is_trivially_default_constructible_v<WalkedFrame>, "or a new thread touches all of walked_");

    // The outermost frame up to frame(last), of which the callers are no longer the ones remembered.
    [[nodiscard]] uint32_t first_changed(uint32_t last) const noexcept;
    // Whether there is none.
    [[nodiscard, gnu::always_inline]] bool is_unchanged(uint32_t last) const noexcept;
    // Whether frame(i), or one outside it, has the rbp that it has here.
    [[nodiscard]] bool leads_out(uint32_t i) const noexcept { return i < rbp_end_ && registers_[i].leads_out; }
    // Whether a walk that has come through `walked` frames to the memory of frame(kept - 1) may end there.
    [[nodiscard]] bool may_meet(uint32_t kept, uint32_t walked, uint32_t depth) const noexcept
    {
        // Where the stack before was cut at its outer end, it must still reach as far as this one.
        return (complete_ || kept + walked >= depth) && kept + walked <= kMostFrames;
    }
    // The way that the current stack was walked, or might have been.
    void note_path() noexcept;
    // Where in paths_ the pair of what begins there is, if there is one. (128 pairs that were found by the slot's and
    // the pc's bits at once lost a tenth of CPython's walks to others of the same place, or none, as the stack began.)
    [[nodiscard]] uint8_t& pair_from(uint64_t slot, uint64_t pc) noexcept
    {
        return pair_from_[(slot / kAlignment + pc) * 0x9e3779b97f4a7c15u >> 54];
    }
    // Puts what was walked inside the first `kept` frames of the stack before.
    void adopt(uint32_t walked, uint32_t kept, uint32_t depth) noexcept;
    // The part of adopt() that copies frames: where no rbp leads out, and where one does. Return how many of the
    // outermost frames have the same pcs as those of the stack before.
    [[nodiscard]] uint32_t remember(uint32_t walked, uint32_t kept) noexcept;
    [[nodiscard]] uint32_t remember_rbp(uint32_t walked, uint32_t kept) noexcept;
    [[nodiscard, gnu::always_inline]] uint32_t remember(const Path& path, uint32_t kept) noexcept;
    // What comes before and behind it.
    [[gnu::always_inline]] void forget_checks(uint32_t kept) noexcept
    {
        while (check_count_ > 0 && checks_[check_count_ - 1].from >= kept) --check_count_;
    }
    [[gnu::noinline]] void settle(uint32_t known, uint32_t same, uint32_t depth) noexcept;
    // Where the rbp of the frame at `slot` was restored from, that called walked_[inner]; nullptr: it was still there.
    [[nodiscard]] const uint64_t* rbp_slot(uint64_t slot, uint32_t inner) const noexcept;
    // The walked frames are all there is. complete: they end where the thread began.
    Result begin_again(const WalkedFrame* walked_end, bool complete, uint32_t depth) noexcept;
    // The first `same` frames are those of the stack before, as far as it had so many.
    [[gnu::always_inline]] void change_to(uint32_t count, uint32_t first, uint32_t same, bool truncated) noexcept;
    // The same from a whole stack to one of `count` frames that is whole, too.
    [[gnu::always_inline]] void change_to_whole(uint32_t count, uint32_t same) noexcept;
    [[nodiscard, gnu::cold, gnu::noinline]] Result blocked(Result why, uint64_t on) noexcept
    {
        blocked_on_ = on;
        return why;
    }

    [[nodiscard]] static uint64_t word_at(uint64_t address) noexcept
    {
        return *reinterpret_cast<const uint64_t*>(address);
    }
    [[nodiscard]] Frame& frame(uint32_t i) noexcept { return memo_[i]; }
    // How many frames the stack had down to the one at `slot`, itself included, when one was there last; or a number of
    // another slot. No search: how many frames were left since the last event is what a processor can't foretell.
    [[nodiscard]] uint16_t& frames_to(uint64_t slot) noexcept { return frames_to_[place_of(slot)]; }
    static constexpr uint64_t kAlignment = 16; // of the stack where a function is called
    [[nodiscard]] static uint64_t place_of(uint64_t slot) noexcept { return slot / kAlignment % kSlotPlaces; }

    static constexpr uint32_t kMostFrames = 3 * format::kMaxStackDepth;
    static constexpr uint32_t kSlotPlaces = 512;
    static constexpr uint32_t kPathPlaces = 1024;
    static constexpr uint32_t kPathPairs = 256;

    StackRange readable_;
    uint64_t blocked_on_ = 0;
    uint32_t count_ = 0;  // frames known of the current stack
    uint32_t first_ = 0;  // the outermost that is kept
    uint32_t common_ = 0; // those from first_ to here are the same as before
    uint32_t pop_count_ = 0;
    uint32_t id_bits_ = 0; // of the pc ids of the frames that are new, see StackDelta
    uint32_t check_count_ = 0;
    uint32_t rbp_end_ = 0; // registers_ ends here; from here on no frame's rbp leads out
    bool truncated_ = false;
    bool is_outdated_ = false;
    bool can_match_ = false;     // more is known of the frames than their pcs
    bool is_whole_ = false;      // that, and none is left out where the thread began
    bool complete_ = false;      // frame(0) has no caller
    bool walk_uses_rbp_ = false; // the rule of a frame in walked_ does
    uint8_t last_pair_ = 0;      // that was given to a place, in paths_
    // Outermost first:
    Frame memo_[kMostFrames];
    uint32_t pc_ids_[kMostFrames + format::RowWriter::kIdsAtOnce];
    FrameRegister registers_[kMostFrames];
    Check checks_[2 * kMostFrames];
    uint16_t frames_to_[kSlotPlaces]; // see frames_to()
    uint8_t pair_from_[kPathPlaces];  // see pair_from()
    PathPair paths_[kPathPairs];
    WalkedFrame walked_[2 * format::kMaxStackDepth]; // innermost first
    uint64_t walked_rbp_[2 * format::kMaxStackDepth];
};

inline void StackWalk::change_to(uint32_t count, uint32_t first, uint32_t same, bool truncated) noexcept
{
    const uint32_t had = depth();
    if (first == first_) {
        common_ = same > first ? same : first;
        if (common_ > count_) common_ = count_;
        if (common_ > count) common_ = count;
        pop_count_ = count_ - common_;
    } else {
        common_ = first;
        pop_count_ = had;
        id_bits_ = UINT32_MAX; // frames that are not new are pushed too
    }
    count_ = count;
    first_ = first;
    truncated_ = truncated;
    is_outdated_ = false;
}

// What a walk does when all goes well is inlined into it: a processor foretells returns by a stack of 16 or so places,
// and every call we nest pushes one of the host's out.

inline void StackWalk::change_to_whole(uint32_t count, uint32_t same) noexcept
{
    common_ = same > count_ ? count_ : same;
    pop_count_ = count_ - common_;
    count_ = count;
}

inline bool StackWalk::is_unchanged(uint32_t last) const noexcept
{
    if (!kVerifySlots) return true;
    const auto differs = [](const Frame& frame)
                             __attribute__((always_inline)) { return word_at(frame.slot) ^ frame.pc; };
    const auto eight_differ = [&](const Frame* at) __attribute__((always_inline)) {
        return differs(at[0]) | differs(at[1]) | differs(at[2]) | differs(at[3]) | differs(at[4]) | differs(at[5]) |
               differs(at[6]) | differs(at[7]);
    };
    const Frame* at = memo_;
    const Frame* const end = at + last;
    uint64_t difference = 0;
    if (last >= 8) [[likely]] {
        for (; end - at > 8; at += 8) difference |= eight_differ(at);
        difference |= eight_differ(end - 8); // some of them twice: a loop over the rest costs more
    } else {
        for (; at != end; ++at) difference |= differs(*at);
    }
    if (difference != 0) [[unlikely]]
        return false;
    for (uint32_t i = 0; i < check_count_ && checks_[i].from <= last; ++i)
        if (!checks_[i].holds()) return false;
    return true;
}

inline uint32_t StackWalk::remember(const Path& path, uint32_t kept) noexcept
{
    static_assert(kPathFrames == 4);
    if (rbp_end_ > kept) rbp_end_ = kept;
    auto* const ids = reinterpret_cast<__m128i*>(pc_ids_ + kept);
    const __m128i new_ids = _mm_loadu_si128(reinterpret_cast<const __m128i*>(path.pc_ids));
    // The same id is the same pc.
    const __m128i equal = _mm_cmpeq_epi32(new_ids, _mm_loadu_si128(ids));
    const auto same = static_cast<uint32_t>(_mm_movemask_ps(_mm_castsi128_ps(equal)));
    _mm_storeu_si128(ids, new_ids);
    std::memcpy(memo_ + kept, path.frames, sizeof path.frames);
    id_bits_ = path.id_bits;
    // A stack whose frames can be met is not outdated.
    return kept + static_cast<uint32_t>(__builtin_ctz(~same));
}

inline bool StackWalk::walk_known_way(HookFrame hook, const uint32_t& depth) noexcept
{
    if (!can_match_) [[unlikely]]
        return false;
    const auto slot = reinterpret_cast<uint64_t>(hook.return_slot);
    const uint64_t pc = hook.return_address();
    const PathPair& pair = paths_[pair_from(slot, pc)];
    if (!pair.begins_at(slot, pc) || !readable_.covers(slot, pair.top)) [[unlikely]]
        return false;
    const Path* way = &pair.paths[0];
    if (!way->is_there()) {
        if (pair.count == 1 || !pair.paths[1].is_there()) [[unlikely]]
            return false;
        way = &pair.paths[1];
    }
    const Path& path = *way;
    const uint32_t kept = path.kept;
    if (kept > count_) [[unlikely]]
        return false;
    const Frame& met = memo_[kept - 1];
    if (met.slot != path.met.slot || met.pc != path.met.pc) [[unlikely]]
        return false;
    const uint32_t known = kept + kPathFrames;
    const bool stays_whole = is_whole_ && known <= depth;
    if (leads_out(kept - 1) || !(stays_whole || may_meet(kept, kPathFrames, depth)) || !is_unchanged(kept - 1))
        [[unlikely]]
        return false;
    forget_checks(kept);
    const uint32_t same = remember(path, kept);
    if (stays_whole) [[likely]]
        change_to_whole(known, same);
    else
        settle(known, same, depth);
    return true;
}

} // namespace leak::preload
