#include "preload/stack_walk.hpp"

namespace leak::preload {

void StackWalk::settle(uint32_t known, uint32_t same, uint32_t depth) noexcept
{
    const uint32_t first = known > depth ? known - depth : 0;
    change_to(known, first, same, first > 0 || !complete_);
    can_match_ = true;
    is_whole_ = !truncated_;
}

inline void StackWalk::adopt(uint32_t walked, uint32_t kept, uint32_t depth) noexcept
{
    forget_checks(kept);
    const bool rbp_leads_out = walk_uses_rbp_ || (kept > 0 && leads_out(kept - 1));
    const uint32_t same = rbp_leads_out ? remember_rbp(walked, kept) : remember(walked, kept);
    settle(kept + walked, same, depth);
}

inline uint32_t StackWalk::remember(uint32_t walked, uint32_t kept) noexcept
{
    if (rbp_end_ > kept) rbp_end_ = kept;
    uint32_t same = kept;
    uint32_t is_same = !is_outdated_;
    uint32_t id_bits = 0;
    const WalkedFrame* from = walked_ + walked;
    for (uint32_t at = kept; from != walked_; ++at) {
        --from;
        is_same &= static_cast<uint32_t>(frame(at).pc == from->frame.pc);
        same += is_same;
        frame(at) = from->frame;
        frames_to(from->frame.slot) = static_cast<uint16_t>(at + 1);
        pc_ids_[at] = from->info.id();
        id_bits |= from->info.id();
    }
    id_bits_ = id_bits;
    return same;
}

void StackWalk::note_path() noexcept
{
    if (count_ <= kPathFrames || count_ - kPathFrames < rbp_end_) return;
    const uint32_t first = count_ - kPathFrames;
    const Frame& innermost = memo_[count_ - 1];
    const Frame& met = memo_[first - 1];
    uint8_t& place = pair_from(innermost.slot, innermost.pc);
    if (!paths_[place].begins_at(innermost.slot, innermost.pc)) {
        place = ++last_pair_;
        paths_[place].innermost = innermost;
        paths_[place].count = 0;
    }
    PathPair& pair = paths_[place];
    Path path;
    path.met = met;
    path.kept = first;
    std::memcpy(path.frames, memo_ + first, sizeof path.frames);
    std::memcpy(path.pc_ids, pc_ids_ + first, sizeof path.pc_ids);
    path.id_bits = path.pc_ids[0] | path.pc_ids[1] | path.pc_ids[2] | path.pc_ids[3];
    // One that was known, and led nowhere as the frames further out were, is not to take the other's place.
    uint16_t way = 0;
    while (way < pair.count && !pair.paths[way].has_frames_of(path)) ++way;
    if (way == 2) way = pair.older;
    if (way == pair.count) ++pair.count;
    pair.paths[way] = path;
    pair.older = way ^ 1;
    pair.top = pair.paths[0].met.slot;
    if (pair.count == 2 && pair.paths[1].met.slot > pair.top) pair.top = pair.paths[1].met.slot;
}

StackWalk::Result StackWalk::walk_by_rules(HookFrame hook, const PcTable& table, uint32_t depth) noexcept
{
    const PcTable::Reader pcs(table);
    uint64_t slot = reinterpret_cast<uint64_t>(hook.return_slot);
    uint64_t pc = hook.return_address();
    uint64_t rbp = hook.caller_rbp;
    if (!pcs.is_ready()) return blocked(Result::unknown_pc, pc);
    if (!readable_.covers(slot)) return blocked(Result::unknown_memory, slot);
    walk_uses_rbp_ = false;
    uint32_t candidates = can_match_ ? count_ : 0; // the outermost frames of the stack before that may be met
    WalkedFrame* to = walked_;
    // Some more than are kept, so that the next, shorter stack needs no long walk.
    const WalkedFrame* const end = walked_ + 2 * depth;
    for (;; ++to) {
        const uint32_t kept = frames_to(slot);
        if (kept - 1 < candidates && memo_[kept - 1].slot == slot && memo_[kept - 1].pc == pc) {
            const auto walked = static_cast<uint32_t>(to - walked_);
            if ((!leads_out(kept - 1) || registers_[kept - 1].rbp == rbp) && may_meet(kept, walked, depth)) {
                if (is_unchanged(kept - 1)) {
                    adopt(walked, kept, depth);
                    note_path();
                    return Result::done;
                }
                candidates = first_changed(kept - 1);
            }
        }
        if (to == end) return begin_again(to, false, depth);
        const PcInfo info = pcs.find(pc);
        const UnwindRule rule = info.rule();
        *to = {{slot, pc}, info};
        walked_rbp_[to - walked_] = rbp;
        if (rule.kind() == UnwindRule::Kind::from_rsp) [[likely]] {
            // The rule's numbers are such that both places lie above the slot.
            slot += rule.cfa_offset();
            if (!readable_.reaches(slot)) [[unlikely]]
                return blocked(Result::unknown_memory, slot);
            if (rule.restores_rbp()) rbp = word_at(slot + sizeof slot - rule.rbp_below_cfa());
        } else {
            if (info.id() == 0) return blocked(Result::unknown_pc, pc);
            if (rule.kind() == UnwindRule::Kind::outermost) return begin_again(to + 1, true, depth);
            if (rule.kind() == UnwindRule::Kind::none) return blocked(Result::no_rule, pc);
            walk_uses_rbp_ = true;
            uint64_t cfa = rbp + rule.cfa_offset();
            uint64_t rbp_at = cfa - rule.rbp_below_cfa();
            if (rule.kind() == UnwindRule::Kind::realigned) {
                const uint64_t cfa_at = rbp - rule.cfa_offset();
                if (cfa_at <= slot || !readable_.covers(cfa_at)) return blocked(Result::unknown_memory, cfa_at);
                cfa = word_at(cfa_at);
                rbp_at = rbp;
            }
            const uint64_t next_slot = cfa - sizeof slot;
            if (next_slot <= slot || !readable_.covers(next_slot)) return blocked(Result::unknown_memory, next_slot);
            if (rule.restores_rbp()) {
                if (rbp_at <= slot || !readable_.covers(rbp_at)) return blocked(Result::unknown_memory, rbp_at);
                rbp = word_at(rbp_at);
            }
            slot = next_slot;
        }
        pc = word_at(slot);
        if (pc == 0) [[unlikely]]
            return begin_again(to + 1, true, depth);
    }
}

bool StackWalk::reach(HookFrame hook) noexcept
{
    const auto inner = reinterpret_cast<uint64_t>(hook.return_slot);
    return readable_.extend(inner, blocked_on_);
}

uint32_t StackWalk::follow_frame_pointers(HookFrame hook, void** return_addresses, uint32_t depth,
                                          bool& truncated) noexcept
{
    auto inner = reinterpret_cast<uint64_t>(hook.return_slot - 1);
    return_addresses[0] = reinterpret_cast<void*>(hook.return_address());
    uint32_t count = 1;
    for (uint64_t frame = hook.caller_rbp; frame != 0; ++count) {
        // A frame address is that of the saved rbp, with the return address right above it.
        const uint64_t slot = frame + sizeof frame;
        const bool is_readable = frame > inner && ((readable_.covers(frame) && readable_.covers(slot)) ||
                                                   (readable_.extend(inner, frame) && readable_.extend(inner, slot)));
        truncated = count == depth || !is_readable;
        if (truncated) return count;
        const uint64_t pc = word_at(slot);
        if (pc == 0) return count;
        return_addresses[count] = reinterpret_cast<void*>(pc);
        inner = frame;
        frame = word_at(frame);
    }
    return count;
}

uint32_t StackWalk::first_changed(uint32_t last) const noexcept
{
    uint32_t changed = 0;
    while (changed < last && memo_[changed].is_there()) ++changed;
    for (uint32_t i = 0; i < check_count_ && checks_[i].from <= last; ++i) {
        if (checks_[i].holds()) continue;
        const uint32_t frame = checks_[i].from > 0 ? checks_[i].from - 1 : 0;
        return frame < changed ? frame : changed;
    }
    return changed;
}

StackWalk::Result StackWalk::begin_again(const WalkedFrame* walked_end, bool complete, uint32_t depth) noexcept
{
    complete_ = complete;
    adopt(static_cast<uint32_t>(walked_end - walked_), 0, depth);
    return Result::done;
}

const uint64_t* StackWalk::rbp_slot(uint64_t slot, uint32_t inner) const noexcept
{
    const UnwindRule rule = walked_[inner].info.rule();
    if (!rule.restores_rbp()) return nullptr;
    const uint64_t cfa = slot + sizeof slot;
    const bool is_realigned = rule.kind() == UnwindRule::Kind::realigned;
    return reinterpret_cast<const uint64_t*>(is_realigned ? walked_rbp_[inner] : cfa - rule.rbp_below_cfa());
}

uint32_t StackWalk::remember_rbp(uint32_t walked, uint32_t kept) noexcept
{
    const auto check_rbp = [this](const uint64_t* at, uint64_t rbp, uint32_t from) {
        if (at != nullptr) checks_[check_count_++] = {at, rbp, from};
    };
    for (uint32_t i = rbp_end_; i < kept; ++i) registers_[i].leads_out = false;
    rbp_end_ = kept + walked;
    bool leads_out = kept > 0 && registers_[kept - 1].leads_out;
    if (leads_out && walked > 0) check_rbp(rbp_slot(frame(kept - 1).slot, walked - 1), registers_[kept - 1].rbp, kept);
    uint32_t same = kept;
    bool is_same = !is_outdated_;
    id_bits_ = 0;
    for (uint32_t i = walked; i-- > 0;) {
        const WalkedFrame& from = walked_[i];
        const uint32_t at = kept + walked - 1 - i;
        const UnwindRule rule = from.info.rule();
        leads_out = rule.consumes_rbp() || (leads_out && !rule.restores_rbp());
        is_same = is_same && frame(at).pc == from.frame.pc;
        same += is_same;
        frame(at) = from.frame;
        frames_to(from.frame.slot) = static_cast<uint16_t>(at + 1);
        pc_ids_[at] = from.info.id();
        id_bits_ |= from.info.id();
        const uint64_t rbp = walked_rbp_[i];
        registers_[at] = {rbp, leads_out};
        if (rule.kind() == UnwindRule::Kind::realigned) {
            const auto* word = reinterpret_cast<const uint64_t*>(rbp - rule.cfa_offset());
            checks_[check_count_++] = {word, *word, at};
        }
        if (leads_out && i > 0) check_rbp(rbp_slot(from.frame.slot, i - 1), rbp, at + 1);
    }
    return same;
}

} // namespace leak::preload
