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

StackWalk::Result StackWalk::walk(const HookFrame& hook, const PcTable& pcs, uint32_t depth) noexcept
{
    uint64_t slot = reinterpret_cast<uint64_t>(&hook.return_address);
    if (!readable_.covers(slot)) return blocked(Result::unknown_memory, slot);
    uint64_t pc = hook.return_address;
    uint64_t rbp = hook.caller_rbp;
    const uint64_t* rbp_slot = nullptr;
    uint32_t candidates = can_match_ ? count_ : 0; // frames_[0, candidates) may be met
    for (uint32_t walked = 0;; ++walked) {
        while (candidates > 0 && frames_[candidates - 1].slot < slot) --candidates;
        if (candidates > 0) {
            Frame& met = frames_[candidates - 1];
            // Where the stack before was cut at its outer end, it must still reach as far as this one.
            if (met.slot == slot && met.pc == pc && (met.rbp == rbp || !met.rbp_leads) &&
                (complete_ || candidates + walked >= depth) && candidates + walked <= kMostFrames) {
                const uint32_t changed = first_changed(candidates - 1);
                if (changed == kUnchanged) {
                    met.rbp_slot = rbp_slot != nullptr && met.rbp_leads ? rbp_slot : &met.rbp;
                    adopt(walked, candidates, complete_, depth);
                    return Result::done;
                }
                candidates = changed;
            }
        }
        if (walked == 2 * depth) { // some more than are kept, so that the next, shorter stack needs no long walk
            adopt(walked, 0, false, depth);
            return Result::done;
        }
        const PcInfo info = pcs.find(pc);
        if (info.id == 0) return blocked(Result::unknown_pc, pc);
        walked_[walked] = {pc, slot, rbp, rbp_slot, info};
        uint64_t cfa = 0;
        switch (info.rule.kind()) {
        case UnwindRule::Kind::from_rsp:
            cfa = slot + sizeof slot + info.rule.cfa_offset();
            break;
        case UnwindRule::Kind::from_rbp:
            cfa = rbp + info.rule.cfa_offset();
            break;
        case UnwindRule::Kind::realigned:
            if (const uint64_t at = rbp - info.rule.cfa_offset(); readable_.covers(at) && at > slot)
                cfa = word_at(at);
            else
                return blocked(Result::unknown_memory, at);
            break;
        case UnwindRule::Kind::outermost:
            adopt(walked + 1, 0, true, depth);
            return Result::done;
        case UnwindRule::Kind::none:
            return blocked(Result::no_rule, pc);
        }
        const uint64_t next_slot = cfa - sizeof slot;
        if (next_slot <= slot) return blocked(Result::no_rule, pc);
        if (!readable_.covers(next_slot)) return blocked(Result::unknown_memory, next_slot);
        rbp_slot = nullptr;
        if (info.rule.restores_rbp()) {
            const uint64_t at =
                info.rule.kind() == UnwindRule::Kind::realigned ? rbp : cfa - info.rule.rbp_below_cfa();
            if (at <= slot || !readable_.covers(at)) return blocked(Result::unknown_memory, at);
            rbp_slot = reinterpret_cast<const uint64_t*>(at);
            rbp = *rbp_slot;
        }
        slot = next_slot;
        pc = word_at(slot);
        if (pc == 0) {
            adopt(walked + 1, 0, true, depth);
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
        const bool is_readable =
            frame > inner && ((readable_.covers(frame) && readable_.covers(slot)) ||
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
    uint32_t changed = kUnchanged;
    for (uint32_t i = 0; i < last; ++i) {
        const Frame& frame = frames_[i];
        if (((word_at(frame.slot) ^ frame.pc) | (*frame.rbp_slot ^ frame.rbp)) != 0) {
            changed = i;
            break;
        }
    }
    for (uint32_t i = 0; i < check_count_ && checks_[i].frame <= last; ++i)
        if (*checks_[i].at != checks_[i].value && checks_[i].frame < changed) changed = checks_[i].frame;
    return changed;
}

void StackWalk::adopt(uint32_t walked, uint32_t kept, bool complete, uint32_t depth) noexcept
{
    while (check_count_ > 0 && checks_[check_count_ - 1].frame >= kept) --check_count_;
    can_match_ = true;
    bool rbp_leads = kept > 0 && frames_[kept - 1].rbp_leads;
    uint32_t same = kept;
    bool is_same = !is_outdated_;
    for (uint32_t i = 0; i < walked; ++i) {
        const WalkedFrame& from = walked_[walked - 1 - i];
        const uint32_t at = kept + i;
        Frame& to = frames_[at];
        is_same = is_same && at < count_ && to.pc == from.pc;
        if (is_same) ++same;
        const UnwindRule rule = from.info.rule;
        rbp_leads = rule.consumes_rbp() || (rbp_leads && !rule.restores_rbp());
        to.pc = from.pc;
        to.slot = from.slot;
        to.rbp = from.rbp;
        to.rbp_slot = rbp_leads && from.rbp_slot != nullptr ? from.rbp_slot : &to.rbp;
        to.rbp_leads = rbp_leads;
        pc_ids_[at] = from.info.id;
        if (rule.kind() == UnwindRule::Kind::realigned) {
            const auto* word = reinterpret_cast<const uint64_t*>(from.rbp - rule.cfa_offset());
            if (check_count_ == kMostChecks)
                can_match_ = false;
            else
                checks_[check_count_++] = {word, *word, at};
        }
    }
    complete_ = complete;
    const uint32_t known = kept + walked;
    const uint32_t first = known > depth ? known - depth : 0;
    change_to(known, first, same, first > 0 || !complete);
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
