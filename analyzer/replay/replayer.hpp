// Applies events, given in time order, to the set of live blocks, and counts.
//
// One thread. Memory: the live blocks, the threads and streams, and the accounts of the stacks.
#pragma once

#include "analyzer/replay/event_merge.hpp"
#include "analyzer/replay/live_table.hpp"
#include "analyzer/replay/mapped_ranges.hpp"
#include "analyzer/replay/replay.hpp"
#include "analyzer/replay/stack_accounts.hpp"
#include "format/early_releases.hpp"

#include <algorithm>
#include <functional>
#include <map>
#include <tuple>
#include <vector>

namespace leak::analyzer {

class Replayer {
public:
    // analyses: told of everything; not owned.
    Replayer(const TraceContents& trace, std::vector<Analysis*> analyses);

    // Of a trace that grows: its events may be of this stream, too. number: so many there are, or one that ended.
    void begin_stream(uint32_t number, ThreadId thread);
    // No event of it follows, and none of its thread.
    void end_stream(uint32_t number, ThreadId thread);
    // So many there were up to now.
    void set_threads(uint64_t threads) { totals_.threads = std::max(totals_.threads, threads); }

    // Makes a block of the parent process live, before the first event.
    void inherit(const LiveBlock& block);

    // Takes over what the trace's folded events were worth, if it has wrapped: behind what is inherited, before the
    // first event.
    void carry(const TraceContents& trace, StackTable& stacks);

    void apply(const TraceEvent& event);
    // No event before `stamp` follows now (UINT64_MAX: none at all): releases that still find no block are of unknown
    // ones.
    void settle(uint64_t stamp);

    // After the last event: a realloc that had not returned has released nothing.
    void finish();

    [[nodiscard]] const Totals& totals() const { return totals_; }
    [[nodiscard]] const Unlisted& unlisted() const { return unlisted_counts_; }
    [[nodiscard]] int64_t end_ns() const { return now_ns_; } // of the last event
    // Blocks whose realloc has not returned: live, though released. Of no kind where nothing is known of one.
    [[nodiscard]] std::vector<LiveBlock> within_realloc() const;
    [[nodiscard]] std::vector<Mismatch> mismatches() const;

    [[nodiscard]] const StackAccounts& accounts() const { return accounts_; }
    // After finish(), once.
    [[nodiscard]] StackAccounts take_accounts() { return std::move(accounts_); }

    // What is live, inherited blocks included: heap and custom blocks in order of allocation, then those of which only
    // the stacks are known, one a stack; mappings by address.
    [[nodiscard]] std::vector<LiveBlock> live_blocks() const;
    [[nodiscard]] std::vector<LiveBlock> live_mappings() const { return mapped_.all(); }

private:
    // A realloc_release whose realloc may still fail.
    struct PendingRelease {
        LiveBlock block;       // kind none: the release matched no block
        uint64_t released = 0; // stamp
        bool mismatched = false;
        bool valid = true; // not undone yet
    };
    struct StreamState {
        // The latest reallocs of the stream, newest last: a signal handler may realloc between a release and its undo.
        static constexpr size_t kMostPending = 4;
        std::vector<PendingRelease> pending;
        std::vector<LiveBlock> unmapped; // pieces of the last unmapping
        bool last_was_realloc_release = false;
        uint32_t first = 0;           // number of the first stream of the thread: it has, for the thread,
        uint64_t last_allocation = 0; // the address; 0: none since its last release
    };

    void carry_totals(const CarriedState& state, const StampConverter& clock);
    void carry_accounts(const CarriedState& state, const std::vector<StackId>& stacks);
    void carry_unknown(const CarriedState& state);
    void carry_streams(const TraceContents& trace,
                       const std::function<LiveBlock(const format::CarriedBlock&)>& block_from);
    void carry_stack(const CarriedState::Stack& carried, StackId stack, const StampConverter& clock);
    [[nodiscard]] uint64_t& unknown_releases();
    [[nodiscard]] uint64_t& last_allocation(const TraceEvent& event)
    {
        return streams_[streams_[event.stream].first].last_allocation;
    }
    void allocate(const TraceEvent& event);
    void release(const TraceEvent& event);
    // has_waited: for its allocation, so it need not be the stream's last event.
    void release_known(const TraceEvent& event, const LiveBlock& block, bool has_waited);
    void release_unknown(const TraceEvent& event, bool has_waited);
    void undo_realloc(const TraceEvent& event);
    void map(const TraceEvent& event);
    void unmap(const TraceEvent& event);
    void undo_unmap(const TraceEvent& event);

    [[nodiscard]] std::optional<LiveBlock> take_block(uint64_t address, format::EventKind released_by);
    static void remember(StreamState& stream, const PendingRelease& pending, bool has_waited = false);
    [[nodiscard]] static const LiveBlock* moving_block(const StreamState& stream);
    void end_realloc(const StreamState& stream);
    void revive(PendingRelease& pending, uint64_t address);
    void count_mismatch(const LiveBlock& block, format::EventKind released_by);
    [[nodiscard]] Mismatch& mismatch_of(const LiveBlock& block, format::EventKind released_by);
    void count_whole_blocks();
    [[nodiscard]] uint64_t one_block() const { return format::unweighed(0, sample_bytes_).blocks; }
    void unmap_pieces(const std::vector<LiveBlock>& pieces);
    void add_live(const LiveBlock& block);
    void drop_live(const LiveBlock& block);
    void note_peak_mapped();
    void tick();
    [[nodiscard]] LiveTable& table_of(format::EventKind allocated);

    std::vector<Analysis*> analyses_;
    format::EarlyReleases<TraceEvent, std::vector<TraceEvent>> early_;
    Totals totals_;
    LiveTable heap_;
    LiveTable custom_; // leak_alloc(): a pool's first block has the address of the pool
    MappedRanges mapped_;
    std::vector<StreamState> streams_;
    std::map<ThreadId, uint32_t> first_streams_; // by thread
    StackAccounts accounts_;
    uint64_t sample_bytes_;           // LEAK_SAMPLE: then totals count blocks in fractions until finish()
    std::vector<LiveBlock> unlisted_; // of the carried state: one a stack
    Unlisted unlisted_counts_;
    std::map<std::tuple<StackId, format::EventKind, format::EventKind>, Mismatch> mismatches_;
    uint64_t live_bytes_ = 0; // own heap blocks
    int64_t now_ns_ = 0;
    uint64_t now_ = 0; // stamp
    int64_t next_tick_ns_ = kTickNs;
};

} // namespace leak::analyzer
