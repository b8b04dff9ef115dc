#include "preload/fold/folder.hpp"

#include "format/checksum.hpp"
#include "preload/fold/fold_input.hpp"
#include "preload/fold/fold_state.hpp"
#include "preload/part_writer.hpp"
#include "preload/tracer.hpp"

#include <algorithm>
#include <new>

namespace leak::preload {

using format::SlotKind;

namespace {

// How many event slots a fold goes for: few enough that the newest three quarters of the events stay, and so many that
// what a fold does besides is little against its events.
[[nodiscard]] uint32_t slots_to_fold() noexcept
{
    const SlotRing& ring = g_tracer.file.ring();
    return (ring.available() + ring.count(SlotKind::events)) / 4 + 1;
}

// Of a carried state: there are two while one is written, and the rest is for events.
[[nodiscard]] uint32_t most_slots() noexcept
{
    return g_tracer.file.ring().limit() / 4;
}

// A history of milliseconds at first, and of so many points that in a small ring it takes a sixteenth at most.
[[nodiscard]] HistoryGrid history_grid() noexcept
{
    constexpr uint64_t kMostPoints = 100'000;
    const format::FileHeader& header = g_tracer.file.header();
    const uint64_t fitting = uint64_t{g_tracer.file.ring().limit()} * format::kSlotBytes / 256;
    return {header.start.stamp, format::history_tick_log2(header.stamp_clock),
            fitting < kMostPoints ? fitting : kMostPoints};
}

} // namespace

bool Folder::fold_if_due() noexcept
{
    if (is_folding() || g_tracer.state() == State::failed) return false;
    // While the fold goes on, threads fill perhaps as many slots as it will free.
    const uint32_t folded = slots_to_fold();
    if (g_tracer.file.ring().available() > slots_of_state_after(folded) + SlotRing::kForNames + folded) return false;
    return fold();
}

bool Folder::fold() noexcept
{
    if (is_folding() || !g_tracer.file.ring().is_bounded() || g_tracer.state() == State::failed) return false;
    is_folding_.store(true, std::memory_order_relaxed);
    g_tracer.clock.end_beats(); // it takes its time
    lacks_memory_ = false;
    bool has_freed = false;
    if (prepare()) {
        const Plan to_do = plan();
        SlotRing& ring = g_tracer.file.ring();
        ring.mark_folding(to_do.last_stamp);
        // Events that come meanwhile, stored perhaps as they are, leave the state its room.
        ring.set_reserve(slots_of_state_after(to_do.slots));
        has_freed = to_do.slots != 0 && fold_up_to(to_do);
    }
    is_folding_.store(false, std::memory_order_relaxed);
    return has_freed;
}

bool Folder::prepare() noexcept
{
    if (state_ != nullptr) return true;
    void* memory = map_own(sizeof(FoldState));
    if (memory != nullptr) {
        state_ = new (memory) FoldState(g_tracer.clock.kind());
        if (state_->init(g_tracer.has_parent(), history_grid(), g_tracer.sampling.period())) return true;
        state_->~FoldState();
        unmap_own(memory, sizeof(FoldState));
        state_ = nullptr;
    }
    g_tracer.fail(format::LossCause::no_memory, "no memory to fold old events", -ENOMEM);
    return false;
}

// Slots that the state may take after a fold of `folded` event slots. What it grew by when events were folded before is
// the best guess; the first time an event that allocates counts as a block that stays.
uint32_t Folder::slots_of_state_after(uint32_t folded) const noexcept
{
    const uint64_t growth = growth_per_slot_ * folded;
    const uint64_t guess = carried_slots_ + carried_slots_ / 8 + growth * 3 / 2 / format::kSlotBytes + 2;
    return guess < most_slots() ? static_cast<uint32_t>(guess) : most_slots();
}

// The oldest event slots, as many as are worth a fold.
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
    lacks_memory_ = candidates.out_of_memory();
    const uint32_t wanted = slots_to_fold();
    Plan result;
    for (uint32_t i = 0; i < candidates.size() && i < wanted; ++i) {
        if (i > 0 && slots_of_state_after(i + 1) > ring.available()) break;
        result.slots = i + 1;
        if (candidates[i].last_stamp > result.last_stamp) result.last_stamp = candidates[i].last_stamp;
    }
    return result;
}

bool Folder::fold_up_to(const Plan& to_do) noexcept
{
    const bool is_writer = t_local.is_writer;
    const int own = is_writer ? g_tracer.writer.descriptor() : -1;
    const int fd = own >= 0 ? own : g_tracer.file.open_again();
    if (fd < 0) return false;
    if (g_tracer.file.is_cut(fd)) {
        if (own < 0) os::close(fd);
        g_tracer.lose_cut_file();
        return false;
    }
    bool is_done = false;
    {
        FoldInput input(*state_);
        if (input.begin(fd, to_do.last_stamp)) {
            // The host's threads go on meanwhile.
            while (input.apply_some())
                if (is_writer) g_tracer.writer.work_on();
            is_done = input.is_sound() && !state_->out_of_memory();
            // Before the state that leaves them out holds: sooner twice than not at all.
            if (is_done && input.lost_events() != 0)
                g_tracer.count_lost(format::LossCause::internal, input.lost_events());
            lacks_memory_ = input.out_of_memory() || state_->out_of_memory();
        } else {
            // Nothing is changed yet: perhaps later.
            lacks_memory_ = input.out_of_memory() || state_->out_of_memory();
            if (own < 0) os::close(fd);
            return false;
        }
    }
    if (!is_done && g_tracer.file.is_cut(fd))
        g_tracer.lose_cut_file();
    else if (!is_done && lacks_memory_)
        g_tracer.fail(format::LossCause::no_memory, "no memory to fold old events", -ENOMEM);
    else if (!is_done)
        g_tracer.fail(format::LossCause::internal, "old events can't be folded", -EIO);
    else {
        forget_streams();
        is_done = take_journal(fd, to_do.last_stamp) && write_state(to_do);
    }
    if (own < 0) os::close(fd);
    return is_done;
}

// Of threads that have ended, so that what is kept of streams does not grow with the number of threads there ever were.
void Folder::forget_streams() noexcept
{
    MappedArray<ThreadEnd> ends;
    g_tracer.threads.take_ends(ends);
    state_->note_ended(ends);
    state_->forget_streams();
}

// Journal slots that are complete: their records go on in the carried state.
bool Folder::take_journal(int fd, uint64_t last_stamp) noexcept
{
    journal_slots_->clear();
    SlotRing& ring = g_tracer.file.ring();
    MappedArray<std::byte> slot;
    for (uint32_t i = 0; i < ring.slots(); ++i) {
        const SlotRing::Use use = ring.use(i);
        if (use.kind != SlotKind::journal || !use.is_closed) continue;
        if (!slot.resize(format::kSlotBytes)) return true; // another time
        const uint64_t from = uint64_t{i} * format::kSlotBytes + sizeof(format::SlotHeader);
        const uint64_t bytes = format::kSlotBytes - sizeof(format::SlotHeader);
        if (os::read_at(fd, slot.begin(), bytes, from) != static_cast<long>(bytes)) continue;
        state_->journal().take({slot.begin(), bytes});
        journal_slots_->push_back(i);
    }
    if (!state_->journal().words().empty()) state_->forget_threads(last_stamp);
    if (!state_->out_of_memory() && !journal_slots_->out_of_memory()) return true;
    g_tracer.fail(format::LossCause::no_memory, "no memory to fold old events", -ENOMEM);
    return false;
}

void Folder::free_journal() noexcept
{
    for (const uint32_t slot : *journal_slots_) g_tracer.file.ring().free(slot);
    journal_slots_->clear();
}

bool Folder::write_state(const Plan& to_do) noexcept
{
    // A state that has no room becomes smaller, until it has.
    while (g_tracer.state() != State::failed) {
        switch (try_to_write(to_do)) {
        case Written::whole:
            return true;
        case Written::no_memory:
            g_tracer.fail(format::LossCause::no_memory, "no memory to fold old events", -ENOMEM);
            return false;
        case Written::no_room:
            free_states_but(number_); // the part that was written
            if (state_->coarsen_history() || state_->unlist_smallest()) continue;
            g_tracer.fail(format::LossCause::no_space,
                          "the ring is too small for the stacks of this program (LEAK_RING)", -ENOSPC);
            return false;
        }
    }
    return false;
}

Folder::Written Folder::try_to_write(const Plan& to_do) noexcept
{
    const uint64_t number = ++last_number_;
    const SlotGiver slots{&Folder::give_slot, [](void*, const Slot& slot) noexcept { g_tracer.file.close_slot(slot); },
                          this};
    PartWriter writer(format::FrameKind::carried, number, most_slots(), slots);
    if (!writer.begin(g_tracer.settings.zstd_level)) return Written::no_memory;
    format::CarriedEncoder<PartWriter> encoder(writer.buffer(), writer);
    state_->write(encoder);
    if (state_->out_of_memory()) return Written::no_memory;
    if (!writer.is_sound()) return Written::no_room;
    format::StateRef reference{number, to_do.last_stamp, encoder.bytes(), writer.parts(), 0};
    reference.checksum = format::checksum(&reference, offsetof(format::StateRef, checksum));
    format::FileHeader& header = g_tracer.file.header();
    const uint32_t next = header.carried_index == 0 ? 1 : 0;
    header.carried[next] = reference;
    // From here on the new state holds, with the events that it does not have.
    std::atomic_ref(header.carried_index).store(next, std::memory_order_release);
    number_ = number;
    carried_slots_ = writer.slots();
    const uint64_t bytes = writer.bytes();
    growth_per_slot_ = bytes > carried_bytes_ ? (bytes - carried_bytes_) / to_do.slots : 0;
    carried_bytes_ = bytes;
    free_states_but(number);
    free_folded();
    free_journal();
    g_tracer.file.ring().set_reserve(slots_of_state_after(slots_to_fold()));
    return Written::whole;
}

Slot Folder::give_slot(void* folder) noexcept
{
    const int fd = t_local.is_writer ? g_tracer.writer.descriptor() : -1;
    Slot slot = g_tracer.file.add_slot(SlotKind::carried, 0, fd);
    // What is live matters more than where pointers lay.
    if (!slot && g_tracer.file.is_full() && g_tracer.snapshots.give_up_last())
        slot = g_tracer.file.add_slot(SlotKind::carried, 0, fd);
    // Whose it is: slots of a state that was not finished are free again.
    const uint64_t number = static_cast<Folder*>(folder)->last_number_;
    if (slot) g_tracer.file.ring().note_events(slot.index, number, number);
    return slot;
}

void Folder::free_states_but(uint64_t number) noexcept
{
    SlotRing& ring = g_tracer.file.ring();
    for (uint32_t i = 0; i < ring.slots(); ++i)
        if (const SlotRing::Use use = ring.use(i); use.kind == SlotKind::carried && use.last_stamp != number)
            ring.free(i);
}

// Not what was completed meanwhile: it may end with an event that came late (FoldInput).
void Folder::free_folded() noexcept
{
    SlotRing& ring = g_tracer.file.ring();
    for (uint32_t i = 0; i < ring.slots(); ++i)
        if (const SlotRing::Use use = ring.use(i); use.kind == SlotKind::events && use.is_folding) ring.free(i);
}

void Folder::reset() noexcept
{
    if (state_ != nullptr && !is_folding()) {
        state_->~FoldState();
        unmap_own(state_, sizeof(FoldState));
    }
    // In the middle of a fold by a thread that is not here the state may be anything: its memory is left alone.
    state_ = nullptr;
    is_folding_.store(false, std::memory_order_relaxed);
    number_ = last_number_ = 0;
    carried_slots_ = 0;
    carried_bytes_ = 0;
    growth_per_slot_ = format::kSlotBytes;
}

} // namespace leak::preload
