// What folded events were worth: the live blocks, the totals, and what the events behind them may still refer to.
//
// One thread. Memory: the live blocks and ranges, the distinct stacks, and the streams of threads that have not ended
// or have events that are not folded. It does with events what the analyzer's Replayer does; tests compare the two.
// Blocks that a forked child has from its parent are not known here: releases of unknown addresses are kept, for the
// reader who has the parent's trace.
#pragma once

#include "format/carried.hpp"
#include "format/early_releases.hpp"
#include "format/sampling.hpp"
#include "preload/fold/fold_blocks.hpp"
#include "preload/fold/fold_journal.hpp"
#include "preload/fold/fold_ranges.hpp"
#include "preload/fold/number_table.hpp"
#include "preload/fold/stack_tree.hpp"
#include "preload/fold/thread_end.hpp"
#include "preload/fold/thread_runs.hpp"

namespace leak::preload {

struct FoldEvent {
    format::EventKind kind;
    uint8_t extra;
    bool truncated;
    uint64_t stamp;
    uint64_t address;
    uint64_t size;
    uint32_t stack; // node of the tree; 0 unless has_stack(kind)
    uint32_t thread;
    uint32_t stream; // number, from stream_of()
};

class FoldState {
public:
    // A thread at one nesting level, and how far its events are folded.
    struct StreamState {
        uint32_t thread;
        uint32_t level;
        uint32_t first;           // number of the thread's stream that was known first: it has, for the thread,
        uint64_t last_allocation; // the address; 0: none since its last release
        uint64_t sequence;        // all buffers before this one, and
        uint32_t events;          // so many of its events
        bool last_was_realloc_release;
        uint32_t pending_count;
        // The latest reallocs that may still fail, newest last: a signal handler may realloc between a release and its
        // undo.
        struct Pending {
            FoldBlock block;   // of no kind: the release matched no block
            uint64_t released; // stamp
            bool mismatched;
            bool valid; // not undone yet
        };
        static constexpr uint32_t kMostPending = 4;
        Pending pending[kMostPending];
    };

    explicit FoldState(format::StampClock clock) noexcept : early_(clock) {}

    // has_parent: the process was forked from a traced one. sample_bytes: LEAK_SAMPLE. False: no memory.
    [[nodiscard]] bool init(bool has_parent, const HistoryGrid& history, uint64_t sample_bytes = 0) noexcept;

    // The number of a stream, the same until forget_streams().
    [[nodiscard]] uint32_t stream_of(uint32_t thread, uint32_t level) noexcept;
    [[nodiscard]] StreamState& stream(uint32_t number) noexcept { return streams_[number]; }

    [[nodiscard]] StackTree& stacks() noexcept { return stacks_; }

    void apply(const FoldEvent& event) noexcept;
    // Whether a release waits for its allocation, which has a stamp that is later by most_early() at most.
    [[nodiscard]] bool is_waiting() const noexcept { return !early_.empty(); }
    [[nodiscard]] uint64_t most_early() const noexcept { return early_.most_early(); }
    // No event before `stamp` follows (UINT64_MAX: none at all): releases that still find no block are of unknown ones.
    void settle(uint64_t stamp) noexcept;
    // It will be applied soon.
    void prepare_for(const FoldEvent& event) const noexcept { heap_.prefetch(event.address); }

    // Records of journal slots that are used again.
    [[nodiscard]] FoldJournal& journal() noexcept { return journal_; }
    // Threads that have ended, each told once.
    void note_ended(const MappedArray<ThreadEnd>& ends) noexcept;
    // Forgets the streams of threads that ended and whose events are all folded. Streams have other numbers then.
    void forget_streams() noexcept;
    // Whether forget_streams() has: what looks like a buffer of the thread is a leftover.
    [[nodiscard]] bool has_forgotten(uint32_t thread) const noexcept { return forgotten_.has(thread); }

    // Drops the journal's records of threads that ended up to `stamp`, when all events were folded, and of whom no
    // block is live.
    void forget_threads(uint64_t stamp) noexcept;

    // Makes the history a sixteenth of what it is. False: it is small already.
    [[nodiscard]] bool coarsen_history() noexcept;

    // Gives up the smaller half of the blocks: what is known of them from now on is how many there are of each stack,
    // and their bytes. False: there are none.
    [[nodiscard]] bool unlist_smallest() noexcept;

    // A push that found no memory has left the state wrong.
    [[nodiscard]] bool out_of_memory() const noexcept;

    // Writes the state: whole only if there was memory.
    template <typename Sink> void write(format::CarriedEncoder<Sink>& to) noexcept;

private:
    struct Mismatch {
        uint32_t stack;
        format::EventKind allocated_by;
        format::EventKind released_by;
        uint64_t blocks;
        uint64_t bytes;
    };
    struct UnmappedPiece {
        uint32_t stream;
        FoldBlock piece;
    };
    struct UnknownRelease {
        uint64_t address;
        uint32_t thread;
        format::EventKind kind;
    };
    struct UnknownRange {
        uint64_t begin;
        uint64_t end;
    };

    void allocate(const FoldEvent& event) noexcept;
    void release_block(const FoldEvent& event) noexcept;
    // has_waited: for its allocation, so it need not be the stream's last event.
    void release_known(const FoldEvent& event, const FoldBlock& block, bool has_waited) noexcept;
    void release_unknown(const FoldEvent& event, bool has_waited) noexcept;
    void undo_realloc(const FoldEvent& event) noexcept;
    void map(const FoldEvent& event) noexcept;
    void unmap(const FoldEvent& event) noexcept;
    void undo_unmap(const FoldEvent& event) noexcept;

    [[nodiscard]] bool take_block(const FoldEvent& event, FoldBlock& block) noexcept;
    [[nodiscard]] FoldBlocks& table_of(format::EventKind allocated) noexcept
    {
        return allocated == format::EventKind::custom_alloc ? custom_ : heap_;
    }
    static void remember(StreamState& stream, const StreamState::Pending& pending, bool has_waited) noexcept;
    void end_realloc(const StreamState& stream) noexcept;
    void revive(StreamState::Pending& pending, uint64_t address) noexcept;
    [[nodiscard]] Mismatch& mismatch_of(const FoldBlock& block, format::EventKind released_by) noexcept;
    void add_live(const FoldBlock& block) noexcept;
    void drop_live(const FoldBlock& block) noexcept;
    void take_ranges_off() noexcept;
    [[nodiscard]] StackTree::Accounts& accounts() noexcept { return stacks_.accounts(); }
    [[nodiscard]] uint32_t account_of(const FoldBlock& block) noexcept { return stacks_.account_of(block.stack); }
    [[nodiscard]] format::Amount amount_of(const FoldBlock& block) const noexcept
    {
        const bool is_custom = block.event_kind() == format::EventKind::custom_alloc;
        return is_custom ? format::unweighed(block.bytes, sample_bytes_) : format::weigh(block.bytes, sample_bytes_);
    }
    [[nodiscard]] uint64_t one_block() const noexcept { return format::unweighed(0, sample_bytes_).blocks; }
    [[nodiscard]] uint64_t now() noexcept { return total(format::CarriedTotal::last_stamp); }
    void note_unknown_range(uint64_t address, uint64_t bytes) noexcept;
    [[nodiscard]] bool is_folded(const ThreadEnd& end) const noexcept;
    void drop_forgotten_streams() noexcept;
    void number_stream(uint32_t number) noexcept;
    [[nodiscard]] uint64_t& last_allocation(const FoldEvent& event) noexcept
    {
        return streams_[streams_[event.stream].first].last_allocation;
    }
    [[nodiscard]] uint64_t& total(format::CarriedTotal which) noexcept { return totals_[static_cast<uint32_t>(which)]; }
    template <typename Sink> void write_stacks(format::CarriedEncoder<Sink>& to) const noexcept;
    template <typename Sink> void write_lifetimes(format::CarriedEncoder<Sink>& to) const noexcept;
    template <typename Sink> void write_history(format::CarriedEncoder<Sink>& to) noexcept;
    template <typename Sink> void write_streams(format::CarriedEncoder<Sink>& to) const noexcept;
    template <typename Sink> void write_threads(format::CarriedEncoder<Sink>& to) const noexcept;
    template <typename Sink> void write_forgotten(format::CarriedEncoder<Sink>& to) const noexcept;
    template <typename Sink> void write_latest_releases(format::CarriedEncoder<Sink>& to) noexcept;
    template <typename Sink> void write_blocks(format::CarriedEncoder<Sink>& to, const FoldBlocks& blocks) noexcept;

    format::EarlyReleases<FoldEvent, MappedArray<FoldEvent>> early_;
    bool has_parent_ = false;
    uint64_t sample_bytes_ = 0;
    uint64_t totals_[format::kCarriedTotals] = {};
    uint64_t events_by_kind_[format::kEventKindCount] = {};
    FoldBlocks heap_;
    FoldBlocks custom_;
    FoldRanges ranges_;
    StackTree stacks_;
    MappedArray<StreamState> streams_;
    NumberTable stream_numbers_;     // by thread and level, and the first one by thread
    MappedArray<ThreadEnd> ended_;   // threads that have events that are not folded
    ThreadRuns forgotten_;           // threads that ended, all folded
    uint64_t forgotten_buffers_ = 0; // of their streams
    MappedArray<Mismatch> mismatches_;
    Mismatch spare_mismatch_{};           // when there is no memory
    MappedArray<UnmappedPiece> unmapped_; // by the last unmapping of each stream
    MappedArray<FoldBlock> pieces_;       // that the mapping or unmapping at hand takes away
    MappedArray<UnknownRelease> unknown_releases_;
    MappedArray<UnknownRange> unknown_ranges_;
    FoldJournal journal_;
};

template <typename Sink>
void FoldState::write_blocks(format::CarriedEncoder<Sink>& to, const FoldBlocks& blocks) noexcept
{
    format::CarriedBlock before;
    MappedArray<uint32_t> order;
    if (!blocks.sort(order)) pieces_.set_out_of_memory();
    to.put(order.size());
    for (const uint32_t place : order) {
        const format::CarriedBlock carried = blocks.at(place).carried();
        to.put_block(carried, before);
        before = carried;
    }
}

template <typename Sink> void FoldState::write_stacks(format::CarriedEncoder<Sink>& to) const noexcept
{
    const auto& nodes = stacks_.nodes();
    to.put(nodes.size() - 1);
    for (size_t i = 1; i < nodes.size(); ++i) to.put_all(i - nodes[i].caller, nodes[i].pc_id);
    to.put_all(stacks_.stacks(), format::kCarriedStackNumberCount);
    size_t before_stack = 0;
    for (size_t i = 0; i < nodes.size(); ++i) {
        if (nodes[i].account == 0) continue;
        const format::StackTotals& totals = stacks_.accounts()[nodes[i].account];
        to.put(i - before_stack);
        for (const auto number : format::kCarriedStackNumbers) to.put(totals.*number);
        to.put(totals.changed);
        before_stack = i;
    }
}

template <typename Sink> void FoldState::write_lifetimes(format::CarriedEncoder<Sink>& to) const noexcept
{
    const auto& nodes = stacks_.nodes();
    const StackTree::Accounts& accounts = stacks_.accounts();
    for (const auto& node : nodes) {
        if (node.account == 0) continue;
        uint64_t counts = 0;
        accounts.for_each_lifetime(node.account, [&](uint32_t, uint64_t) { ++counts; });
        to.put(counts);
        accounts.for_each_lifetime(node.account, [&](uint32_t bucket, uint64_t count) { to.put_all(bucket, count); });
    }
}

template <typename Sink> void FoldState::write_history(format::CarriedEncoder<Sink>& to) noexcept
{
    using Accounts = StackTree::Accounts;
    const Accounts& accounts = stacks_.accounts();
    to.put_all(accounts.tick_log2(), Accounts::kFirstStack, format::kCarriedProcessNumberCount);
    for (uint32_t i = 0; i < Accounts::kFirstStack; ++i) {
        for (const auto number : format::kCarriedProcessNumbers) to.put(accounts[i].*number);
        to.put(accounts[i].changed);
    }
    // The points of each account, in their order, as chains.
    const auto& points = accounts.points();
    MappedArray<uint32_t> first; // by account, from 1; zero
    MappedArray<uint32_t> next;
    MappedArray<uint32_t> counts;
    if (!first.resize(accounts.size()) || !counts.resize(accounts.size()) || !next.resize(points.size()))
        return pieces_.set_out_of_memory();
    for (size_t i = points.size(); i-- > 0;) {
        next[i] = first[points[i].account];
        first[points[i].account] = static_cast<uint32_t>(i + 1);
        ++counts[points[i].account];
    }
    const auto write_account = [&](uint32_t account) {
        to.put(counts[account]);
        format::HistoryPoint before{};
        for (uint32_t at = first[account]; at != 0; at = next[at - 1]) {
            to.put_point(points[at - 1], before);
            before = points[at - 1];
        }
    };
    for (uint32_t i = 0; i < Accounts::kFirstStack; ++i) write_account(i);
    for (const auto& node : stacks_.nodes())
        if (node.account != 0) write_account(node.account);
}

template <typename Sink> void FoldState::write_streams(format::CarriedEncoder<Sink>& to) const noexcept
{
    to.put(streams_.size());
    for (const StreamState& stream : streams_) {
        to.put_all(stream.thread, stream.level, stream.sequence, stream.events,
                   uint64_t{stream.pending_count} << 1 | (stream.last_was_realloc_release ? 1 : 0));
        for (uint32_t i = 0; i < stream.pending_count; ++i) {
            const StreamState::Pending& pending = stream.pending[i];
            const bool has_block = pending.block.event_kind() != format::EventKind::none;
            to.put((has_block ? 4 | 8 : 0) | (pending.mismatched ? 2 : 0) | (pending.valid ? 1 : 0));
            if (has_block) {
                to.put_block(pending.block.carried(), {});
                to.put(pending.released);
            } else {
                to.put(pending.block.address);
            }
        }
    }
    to.put(unmapped_.size());
    for (const UnmappedPiece& unmapped : unmapped_) {
        to.put(unmapped.stream);
        to.put_block(unmapped.piece.carried(), {});
    }
}

template <typename Sink> void FoldState::write_threads(format::CarriedEncoder<Sink>& to) const noexcept
{
    uint64_t count = 0;
    for (const StreamState& stream : streams_) count += stream.last_allocation != 0;
    to.put(count);
    for (const StreamState& stream : streams_)
        if (stream.last_allocation != 0) to.put_all(stream.thread, stream.last_allocation);
}

template <typename Sink> void FoldState::write_forgotten(format::CarriedEncoder<Sink>& to) const noexcept
{
    to.put(forgotten_.runs().size());
    uint32_t end = 0; // of the run before
    for (const ThreadRuns::Run& run : forgotten_.runs()) {
        to.put_all(run.first - end, run.end - run.first);
        end = run.end;
    }
    to.put(forgotten_buffers_);
}

template <typename Sink> void FoldState::write_latest_releases(format::CarriedEncoder<Sink>& to) noexcept
{
    uint64_t count = 0;
    early_.for_each_noted(now(), [&](const auto&) { ++count; });
    to.put(count);
    early_.for_each_noted(
        now(), [&](const auto& release) { to.put_all(release.address, release.thread, now() - release.stamp); });
}

template <typename Sink> void FoldState::write(format::CarriedEncoder<Sink>& to) noexcept
{
    to.put(format::kCarriedTotals);
    for (const uint64_t total : totals_) to.put(total);
    to.put(format::kEventKindCount);
    for (const uint64_t events : events_by_kind_) to.put(events);

    write_stacks(to);
    write_blocks(to, heap_);
    write_blocks(to, custom_);
    // By address: their stamps go up and down.
    to.put(ranges_.all().size());
    for (const FoldBlock& range : ranges_.all()) {
        const format::CarriedBlock carried = range.carried();
        to.put_block(carried, {});
    }

    write_streams(to);
    write_threads(to);
    to.put(mismatches_.size());
    for (const Mismatch& mismatch : mismatches_)
        to.put_all(mismatch.stack, static_cast<uint8_t>(mismatch.allocated_by),
                   static_cast<uint8_t>(mismatch.released_by), mismatch.blocks, mismatch.bytes);
    to.put(unknown_releases_.size());
    for (const UnknownRelease& release : unknown_releases_)
        to.put_all(release.address, release.thread, static_cast<uint8_t>(release.kind));
    to.put(unknown_ranges_.size());
    for (const UnknownRange& range : unknown_ranges_) to.put_all(range.begin, range.end - range.begin);
    write_lifetimes(to);
    write_history(to);
    to.put(journal_.words().size());
    for (const uint64_t word : journal_.words()) to.put(word);
    write_forgotten(to);
    write_latest_releases(to);
    to.flush();
}

} // namespace leak::preload
