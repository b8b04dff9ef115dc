#include "preload/fold/folder.hpp"

#include "format/checksum.hpp"
#include "preload/fold/carried_writer.hpp"
#include "preload/fold/fold_input.hpp"
#include "preload/fold/fold_state.hpp"
#include "preload/tracer.hpp"

#include <algorithm>
#include <new>

namespace leak::preload {

using format::SlotKind;

namespace {

constexpr uint32_t kEventsBetweenBreaths = 4096;

// Slots that a state of `slots` slots may take after a fold of `folded` event slots: an event that allocates takes
// about as much room as the block that is carried for it.
[[nodiscard]] constexpr uint32_t slots_after(uint32_t slots, uint32_t folded) noexcept
{
    return slots + folded + folded / 4 + 2;
}

// The fewest event slots that are worth a fold.
[[nodiscard]] uint32_t fewest_slots() noexcept
{
    const uint32_t events = g_tracer.file.ring().count(SlotKind::events);
    return events / 16 + 1;
}

} // namespace

bool Folder::fold_if_due() noexcept
{
    if (is_folding_ || g_tracer.state() == State::failed) return false;
    const SlotRing& ring = g_tracer.file.ring();
    // What threads may take while the fold goes on.
    const uint32_t meanwhile = ring.limit() / 16 + 3;
    if (ring.available() > slots_after(carried_slots_, fewest_slots()) + meanwhile) return false;
    return fold();
}

bool Folder::fold() noexcept
{
    if (is_folding_ || !g_tracer.file.ring().is_bounded() || g_tracer.state() == State::failed) return false;
    is_folding_ = true;
    bool has_freed = false;
    if (prepare()) {
        const Plan to_do = plan();
        has_freed = to_do.last_stamp != 0 && fold_up_to(to_do.last_stamp);
    }
    is_folding_ = false;
    return has_freed;
}

bool Folder::prepare() noexcept
{
    if (state_ != nullptr) return true;
    void* memory = os::map_memory(sizeof(FoldState));
    if (memory != nullptr) {
        state_ = new (memory) FoldState;
        if (state_->init(g_tracer.has_parent())) return true;
        state_->~FoldState();
        os::unmap(memory, sizeof(FoldState));
        state_ = nullptr;
    }
    g_tracer.fail(format::LossCause::no_memory, "no memory to fold old events", -ENOMEM);
    return false;
}

// The oldest event slots, as many as the carried state that follows surely has room for, at most half of them.
Folder::Plan Folder::plan() noexcept
{
    struct Candidate {
        uint64_t sequence;
        uint64_t last_stamp;
    };
    MappedArray<Candidate> candidates;
    SlotRing& ring = g_tracer.file.ring();
    for (uint32_t i = 0; i < ring.slots(); ++i) {
        const SlotRing::Use use = ring.use(i);
        if (use.kind == SlotKind::events && use.is_closed) candidates.push_back({use.sequence, use.last_stamp});
    }
    std::sort(candidates.begin(), candidates.end(),
              [](const Candidate& a, const Candidate& b) { return a.sequence < b.sequence; });
    const auto most = static_cast<uint32_t>((candidates.size() + 1) / 2);
    Plan result;
    for (uint32_t i = 0; i < most; ++i) {
        if (i > 0 && slots_after(carried_slots_, i + 1) > ring.available()) break;
        if (candidates[i].last_stamp > result.last_stamp) result.last_stamp = candidates[i].last_stamp;
    }
    return result;
}

bool Folder::fold_up_to(uint64_t last_stamp) noexcept
{
    const bool is_writer = t_local.is_writer;
    const int own = is_writer ? g_tracer.writer.descriptor() : -1;
    const int fd = own >= 0 ? own : g_tracer.file.open_again();
    if (fd < 0) return false;
    bool is_done = false;
    {
        FoldInput input(*state_);
        if (input.begin(fd, last_stamp)) {
            FoldEvent event;
            for (uint32_t events = 1; input.next(event); ++events) {
                state_->apply(event);
                // The host's threads go on meanwhile.
                if (is_writer && events % kEventsBetweenBreaths == 0) g_tracer.writer.work_on();
            }
            is_done = input.is_sound() && !state_->out_of_memory();
        } else {
            // Nothing is changed yet: perhaps later.
            if (own < 0) os::close(fd);
            return false;
        }
    }
    if (!is_done)
        g_tracer.fail(format::LossCause::internal, "old events can't be folded", -EIO);
    else
        is_done = write_state(last_stamp);
    if (own < 0) os::close(fd);
    return is_done;
}

bool Folder::write_state(uint64_t last_stamp) noexcept
{
    const uint64_t number = number_ + 1;
    CarriedWriter writer(number, t_local.is_writer ? g_tracer.writer.descriptor() : -1);
    if (!writer.begin()) {
        g_tracer.fail(format::LossCause::no_memory, "no memory to fold old events", -ENOMEM);
        return false;
    }
    format::CarriedEncoder encoder(writer.buffer(), writer);
    state_->write(encoder);
    if (!writer.is_sound()) {
        g_tracer.fail(format::LossCause::no_space, "the ring is too small for what is live (LEAK_RING)", -ENOSPC);
        return false;
    }
    format::CarriedRef reference{number, last_stamp, encoder.bytes(), writer.parts(), 0};
    reference.checksum = format::checksum(&reference, offsetof(format::CarriedRef, checksum));
    format::FileHeader& header = g_tracer.file.header();
    const uint32_t next = header.carried_index == 0 ? 1 : 0;
    header.carried[next] = reference;
    // From here on the new state holds, with the events that it does not have.
    std::atomic_ref(header.carried_index).store(next, std::memory_order_release);
    number_ = number;
    carried_slots_ = writer.slots();
    free_slots(last_stamp, number);
    g_tracer.file.ring().set_reserve(slots_after(carried_slots_, fewest_slots()));
    return true;
}

void Folder::free_slots(uint64_t last_stamp, uint64_t number) noexcept
{
    SlotRing& ring = g_tracer.file.ring();
    for (uint32_t i = 0; i < ring.slots(); ++i) {
        const SlotRing::Use use = ring.use(i);
        const bool is_old_state = use.kind == SlotKind::carried && use.last_stamp != number;
        const bool is_folded = use.kind == SlotKind::events && use.is_closed && use.last_stamp <= last_stamp;
        if (is_old_state || is_folded) ring.free(i);
    }
}

void Folder::reset() noexcept
{
    if (state_ != nullptr && !is_folding_) {
        state_->~FoldState();
        os::unmap(state_, sizeof(FoldState));
    }
    // In the middle of a fold by a thread that is not here the state may be anything: its memory is left alone.
    state_ = nullptr;
    is_folding_ = false;
    number_ = 0;
    carried_slots_ = 0;
}

} // namespace leak::preload
