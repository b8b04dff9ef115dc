#include "preload/stack_walk.hpp"

namespace leak::preload {

namespace {

// The negative control of the tests: without it stacks are wrong, and a test that does not notice is worth nothing.
#ifdef LEAK_NO_SLOT_VERIFICATION
constexpr bool kVerifySlots = false;
#else
constexpr bool kVerifySlots = true;
#endif

[[nodiscard]] uint64_t word_at(uint64_t address) noexcept
{
    return *reinterpret_cast<const uint64_t*>(address);
}

} // namespace

StackWalk::Result StackWalk::walk(const HookFrame& hook, const PcTable& table, uint32_t depth) noexcept
{
    const PcTable::Reader pcs(table);
    uint64_t slot = reinterpret_cast<uint64_t>(&hook.return_address);
    if (!readable_.covers(slot)) return blocked(Result::unknown_memory, slot);
    uint64_t pc = hook.return_address;
    uint64_t rbp = hook.caller_rbp;
    const uint64_t* rbp_slot = nullptr;
    memo_[0].slot = UINT64_MAX;
    const Frame* candidate = memo_ + (can_match_ ? count_ : 0); // the innermost that may be met
    for (Walked walked;; ++walked.count) {
        while (candidate->slot < slot) --candidate;
        if (candidate->slot == slot && candidate->pc == pc) {
            const auto kept = static_cast<uint32_t>(candidate - memo_);
            const FrameRegister& met = registers_[kept - 1];
            // Where the stack before was cut at its outer end, it must still reach as far as this one.
            if ((met.rbp == rbp || !met.leads_out) && (complete_ || kept + walked.count >= depth) &&
                kept + walked.count <= kMostFrames) {
                const uint32_t changed = first_changed(kept - 1);
                if (changed == kUnchanged) {
                    adopt(walked, kept, rbp_slot, depth);
                    return Result::done;
                }
                candidate = memo_ + changed;
            }
        }
        if (walked.count == 2 * depth) { // some more than are kept, so that the next, shorter stack needs no long walk
            begin_again(walked, false, depth);
            return Result::done;
        }
        const PcInfo info = pcs.find(pc);
        const UnwindRule rule = info.rule;
        walked_[walked.count] = {{slot, pc}, rbp, rbp_slot, info};
        rbp_slot = nullptr;
        if (rule.kind() == UnwindRule::Kind::from_rsp) [[likely]] {
            // The rule's numbers are such that both places lie above the slot.
            slot += rule.cfa_offset();
            if (!readable_.reaches(slot)) [[unlikely]]
                return blocked(Result::unknown_memory, slot);
            if (rule.restores_rbp()) {
                rbp_slot = reinterpret_cast<const uint64_t*>(slot + sizeof slot - rule.rbp_below_cfa());
                rbp = *rbp_slot;
            }
        } else {
            if (info.id == 0) return blocked(Result::unknown_pc, pc);
            if (rule.kind() == UnwindRule::Kind::outermost) {
                ++walked.count;
                begin_again(walked, true, depth);
                return Result::done;
            }
            if (rule.kind() == UnwindRule::Kind::none) return blocked(Result::no_rule, pc);
            walked.uses_rbp = true;
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
                rbp_slot = reinterpret_cast<const uint64_t*>(rbp_at);
                rbp = *rbp_slot;
            }
            slot = next_slot;
        }
        pc = word_at(slot);
        if (pc == 0) [[unlikely]] {
            ++walked.count;
            begin_again(walked, true, depth);
            return Result::done;
        }
    }
}

bool StackWalk::reach(const HookFrame& hook) noexcept
{
    const auto inner = reinterpret_cast<uint64_t>(&hook.return_address);
    return readable_.extend(inner, blocked_on_);
}

uint32_t StackWalk::follow_frame_pointers(const HookFrame& hook, void** return_addresses, uint32_t depth,
                                          bool& truncated) noexcept
{
    auto inner = reinterpret_cast<uint64_t>(&hook.caller_rbp);
    return_addresses[0] = reinterpret_cast<void*>(hook.return_address);
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
    if (!kVerifySlots) return kUnchanged;
    const auto differs = [](const Frame& frame) { return word_at(frame.slot) ^ frame.pc; };
    const Frame* const first = memo_ + 1;
    const Frame* const end = first + last;
    const Frame* at = first;
    for (; end - at >= 8; at += 8)
        if ((differs(at[0]) | differs(at[1]) | differs(at[2]) | differs(at[3]) | differs(at[4]) | differs(at[5]) |
             differs(at[6]) | differs(at[7])) != 0) [[unlikely]]
            break;
    while (at != end && differs(*at) == 0) ++at;
    const uint32_t changed = at == end ? kUnchanged : static_cast<uint32_t>(at - first);
    for (uint32_t c = 0; c < check_count_ && checks_[c].from <= last; ++c) {
        if (*checks_[c].at == checks_[c].value) continue;
        const uint32_t frame = checks_[c].from > 0 ? checks_[c].from - 1 : 0;
        return frame < changed ? frame : changed;
    }
    return changed;
}

void StackWalk::begin_again(Walked walked, bool complete, uint32_t depth) noexcept
{
    complete_ = complete;
    adopt(walked, 0, nullptr, depth);
}

void StackWalk::adopt(Walked walked, uint32_t kept, const uint64_t* rbp_slot, uint32_t depth) noexcept
{
    const uint32_t known = kept + walked.count;
    uint32_t same = kept;
    if (!is_outdated_) {
        const uint32_t had = count_ < known ? count_ : known;
        while (same < had && frame(same).pc == walked_[known - 1 - same].frame.pc) ++same;
    }
    while (check_count_ > 0 && checks_[check_count_ - 1].from >= kept) --check_count_;
    if (walked.uses_rbp || (kept > 0 && registers_[kept - 1].leads_out))
        remember_rbp(walked.count, kept, rbp_slot);
    else
        remember(walked.count, kept);
    can_match_ = true;
    const uint32_t first = known > depth ? known - depth : 0;
    change_to(known, first, same, first > 0 || !complete_);
}

void StackWalk::remember(uint32_t walked, uint32_t kept) noexcept
{
    const WalkedFrame* from = walked_ + walked;
    for (uint32_t at = kept; from != walked_; ++at) {
        --from;
        frame(at) = from->frame;
        pc_ids_[at] = from->info.id;
        registers_[at].leads_out = false;
    }
}

void StackWalk::remember_rbp(uint32_t walked, uint32_t kept, const uint64_t* rbp_slot) noexcept
{
    bool leads_out = kept > 0 && registers_[kept - 1].leads_out;
    if (leads_out && rbp_slot != nullptr) checks_[check_count_++] = {rbp_slot, registers_[kept - 1].rbp, kept};
    for (uint32_t i = walked; i-- > 0;) {
        const WalkedFrame& from = walked_[i];
        const uint32_t at = kept + walked - 1 - i;
        const UnwindRule rule = from.info.rule;
        leads_out = rule.consumes_rbp() || (leads_out && !rule.restores_rbp());
        frame(at) = from.frame;
        pc_ids_[at] = from.info.id;
        registers_[at] = {from.rbp, leads_out};
        if (rule.kind() == UnwindRule::Kind::realigned) {
            const auto* word = reinterpret_cast<const uint64_t*>(from.rbp - rule.cfa_offset());
            checks_[check_count_++] = {word, *word, at};
        }
        if (leads_out && from.rbp_slot != nullptr) checks_[check_count_++] = {from.rbp_slot, from.rbp, at + 1};
    }
}

void StackWalk::change_to(uint32_t count, uint32_t first, uint32_t same, bool truncated) noexcept
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
    }
    count_ = count;
    first_ = first;
    truncated_ = truncated;
    is_outdated_ = false;
}

} // namespace leak::preload
