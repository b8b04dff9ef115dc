#include "analyzer/replay/replayer.hpp"

#include "format/families.hpp"

#include <algorithm>
#include <ranges>
#include <tuple>
#include <utility>

namespace leak::analyzer {

using format::CarriedBlock;
using format::EventKind;

namespace {

[[nodiscard]] LiveBlock block_of(const TraceEvent& event)
{
    LiveBlock block;
    block.address = event.address;
    block.bytes = event.size;
    block.allocated_ns = event.at_ns;
    block.stamp = event.stamp;
    block.stack = event.stack;
    block.thread = event.thread;
    block.kind = event.kind;
    block.alignment_log2 = is_mapping(event.kind) ? uint8_t{0} : event.extra;
    block.truncated_stack = event.truncated;
    return block;
}

[[nodiscard]] unsigned tick_log2_of(const TraceContents& trace)
{
    const bool has_history = trace.carried && !trace.carried->process.empty();
    return has_history ? trace.carried->history_tick_log2 : format::history_tick_log2(trace.header.stamp_clock);
}

} // namespace

Replayer::Replayer(const TraceContents& trace, std::vector<Analysis*> analyses)
    : analyses_(std::move(analyses)), early_(trace.header.stamp_clock),
      accounts_(trace.header, trace.clock, tick_log2_of(trace)), sample_bytes_(trace.header.sample_bytes)
{
    for (const Stream& stream : trace.streams) begin_stream(static_cast<uint32_t>(streams_.size()), stream.thread);
    totals_.threads = trace.thread_count;
}

void Replayer::begin_stream(uint32_t number, ThreadId thread)
{
    if (streams_.size() <= number) streams_.resize(number + size_t{1});
    streams_[number].first = first_streams_.try_emplace(thread, number).first->second;
}

void Replayer::end_stream(uint32_t number, ThreadId thread)
{
    settle(UINT64_MAX);
    streams_[number] = {};
    first_streams_.erase(thread);
}

std::vector<LiveBlock> Replayer::within_realloc() const
{
    std::vector<LiveBlock> blocks;
    for (const StreamState& stream : streams_)
        if (stream.last_was_realloc_release && stream.pending.back().valid)
            blocks.push_back(stream.pending.back().block);
    return blocks;
}

void Replayer::inherit(const LiveBlock& block)
{
    LiveBlock inherited = block;
    inherited.inherited = true;
    if (is_mapping(block.kind))
        mapped_.map(inherited);
    else
        table_of(block.kind).put(inherited);
}

void Replayer::apply(const TraceEvent& event)
{
    if (event.stamp < now_) { // behind a cut, or folded later than one that a release waited for
        TraceEvent late = event;
        late.stamp = now_;
        late.at_ns = std::max(late.at_ns, now_ns_);
        return apply(late);
    }
    if (!early_.empty()) settle(event.stamp);
    now_ns_ = std::max(now_ns_, event.at_ns);
    now_ = event.stamp;
    if (!analyses_.empty() && now_ns_ >= next_tick_ns_) tick();
    ++totals_.events_by_kind[static_cast<size_t>(event.kind)];
    end_realloc(streams_[event.stream]);
    streams_[event.stream].last_was_realloc_release = event.kind == EventKind::realloc_release;
    if (is_heap_allocation(event.kind)) return allocate(event);
    if (is_heap_release(event.kind)) return release(event);
    if (is_mapping(event.kind)) return map(event);
    if (is_unmapping(event.kind)) return unmap(event);
    if (event.kind == EventKind::realloc_undo) return undo_realloc(event);
    if (event.kind == EventKind::unmap_undo) return undo_unmap(event);
}

void Replayer::settle(uint64_t stamp)
{
    early_.give_up(stamp, [this](const TraceEvent& release) { release_unknown(release, true); });
}

void Replayer::finish()
{
    settle(UINT64_MAX);
    for (StreamState& stream : streams_) {
        if (!stream.last_was_realloc_release) continue;
        end_realloc(stream);
        revive(stream.pending.back(), stream.pending.back().block.address);
    }
    totals_.stacks = accounts_.stacks();
    count_whole_blocks();
    for (Analysis* analysis : analyses_) {
        analysis->on_tick(now_ns_);
        analysis->finish(now_ns_);
    }
}

// Of a sampled trace.
void Replayer::count_whole_blocks()
{
    for (uint64_t* blocks :
         {&totals_.allocations, &totals_.releases, &totals_.temporary_allocations, &totals_.unmatched_releases,
          &totals_.replaced_blocks, &totals_.mismatches, &unlisted_counts_.blocks, &unlisted_counts_.releases})
        *blocks = format::whole_blocks(*blocks, sample_bytes_);
    for (auto& [key, mismatch] : mismatches_) mismatch.blocks = format::whole_blocks(mismatch.blocks, sample_bytes_);
}

// -- What was folded -------------------------------------------------------------------------------------------------

void Replayer::carry(const TraceContents& trace, StackTable& stacks)
{
    if (!trace.carried) return;
    const CarriedState& state = *trace.carried;
    std::vector<StackId> ids(state.nodes.size());
    for (size_t i = 1; i < ids.size(); ++i)
        ids[i] = stacks.child(ids[state.nodes[i].caller], trace.pcs[state.nodes[i].pc_id]);
    const auto block_from = [&](const format::CarriedBlock& carried) {
        LiveBlock block;
        block.address = carried.address;
        block.bytes = carried.bytes;
        block.allocated_ns = trace.clock.to_ns(carried.stamp);
        block.stamp = carried.stamp;
        block.stack = ids[carried.stack];
        block.thread = ThreadId{carried.thread};
        block.kind = carried.kind;
        block.alignment_log2 = carried.alignment_log2;
        block.truncated_stack = carried.truncated;
        return block;
    };
    carry_totals(state, trace.clock);
    for (const auto& release : state.latest_releases | std::views::reverse)
        early_.note({release.address, now_ - std::min(now_, release.before), ThreadId{release.thread}});
    for (const CarriedState::Stack& stack : state.stacks) carry_stack(stack, ids[stack.node], trace.clock);
    carry_accounts(state, ids);
    carry_unknown(state);
    for (const format::CarriedBlock& carried : state.blocks) {
        const LiveBlock block = block_from(carried);
        table_of(block.kind).put(block);
        for (Analysis* analysis : analyses_) analysis->on_allocate(block);
    }
    for (const format::CarriedBlock& carried : state.ranges) {
        const LiveBlock range = block_from(carried);
        mapped_.map(range);
        for (Analysis* analysis : analyses_) analysis->on_allocate(range);
    }
    carry_streams(trace, block_from);
    for (const CarriedState::LastAllocation& last : state.last_allocation)
        if (const auto first = first_streams_.find(ThreadId{last.thread}); first != first_streams_.end())
            streams_[first->second].last_allocation = last.address;
    for (const CarriedState::Mismatch& carried : state.mismatches)
        mismatches_[{ids[carried.node], carried.allocated_by, carried.released_by}] = {
            ids[carried.node], carried.allocated_by, carried.released_by, carried.blocks, carried.bytes};
}

// block_from: as in carry().
void Replayer::carry_streams(const TraceContents& trace,
                             const std::function<LiveBlock(const format::CarriedBlock&)>& block_from)
{
    const CarriedState& state = *trace.carried;
    std::map<std::pair<uint32_t, uint32_t>, size_t> numbers;
    for (size_t i = 0; i < trace.streams.size(); ++i)
        numbers[{trace.streams[i].thread.value, trace.streams[i].level}] = i;
    const auto stream_of = [&](const CarriedState::Stream& carried) -> StreamState* {
        const auto found = numbers.find({carried.thread, carried.level});
        return found == numbers.end() ? nullptr : &streams_[found->second];
    };
    for (const CarriedState::Stream& carried : state.streams) {
        StreamState* stream = stream_of(carried);
        if (stream == nullptr) continue;
        stream->last_was_realloc_release = carried.last_was_realloc_release;
        for (const CarriedState::Pending& pending : carried.pending)
            remember(*stream, {block_from(pending.block), pending.released, pending.mismatched, pending.valid});
        if (const LiveBlock* block = moving_block(*stream))
            accounts_.table().depart(accounts_.of(block->stack), amount_of(*block, sample_bytes_));
    }
    for (const auto& [number, piece] : state.unmapped)
        if (StreamState* stream = stream_of(state.streams[number])) stream->unmapped.push_back(block_from(piece));
}

void Replayer::carry_stack(const CarriedState::Stack& carried, StackId stack, const StampConverter& clock)
{
    if (carried.totals.unlisted_blocks == 0) return;
    LiveBlock& blocks = unlisted_.emplace_back();
    blocks.bytes = carried.totals.unlisted_bytes;
    blocks.stamp = carried.totals.unlisted_first_stamp;
    blocks.allocated_ns = clock.to_ns(blocks.stamp);
    blocks.stack = stack;
    blocks.thread = ThreadId{UINT32_MAX};
    blocks.kind = static_cast<EventKind>(carried.totals.unlisted_kind);
    blocks.blocks = std::max<uint64_t>(1, format::whole_blocks(carried.totals.unlisted_blocks, sample_bytes_));
    unlisted_counts_.bytes += blocks.bytes;
}

// stacks: by the number of the state's node.
void Replayer::carry_accounts(const CarriedState& state, const std::vector<StackId>& stacks)
{
    StackAccounts::Table& table = accounts_.table();
    const auto carry_one = [&](uint32_t account, const CarriedState::Stack& carried) {
        const uint32_t had = table[account].lifetimes;
        table[account] = carried.totals;
        table[account].lifetimes = had;
        for (const auto& [bucket, count] : carried.lifetimes) table.lifetime_count(account, bucket) += count;
        for (format::HistoryPoint point : carried.points) {
            point.account = account;
            table.add_point(point);
        }
    };
    for (uint32_t i = 0; i < StackAccounts::Table::kFirstStack && i < state.process.size(); ++i)
        carry_one(i, state.process[i]);
    for (const CarriedState::Stack& carried : state.stacks) {
        const uint32_t account = accounts_.of(stacks[carried.node]);
        carry_one(account, carried);
        table[account].live_blocks += carried.totals.unlisted_blocks;
        table[account].live_bytes += carried.totals.unlisted_bytes;
    }
    const auto add_live = [&](uint32_t node, format::Amount amount) {
        format::StackTotals& totals = table[accounts_.of(stacks[node])];
        totals.live_blocks += amount.blocks;
        totals.live_bytes += amount.bytes;
    };
    for (const CarriedBlock& carried : state.blocks) {
        LiveBlock block;
        block.bytes = carried.bytes;
        block.kind = carried.kind;
        add_live(carried.stack, amount_of(block, sample_bytes_));
    }
    for (const CarriedBlock& range : state.ranges) add_live(range.stack, {0, range.bytes});
}

void Replayer::carry_totals(const CarriedState& state, const StampConverter& clock)
{
    using format::CarriedTotal;
    totals_.allocations = state.total(CarriedTotal::allocations);
    totals_.releases = state.total(CarriedTotal::releases);
    totals_.allocated_bytes = state.total(CarriedTotal::allocated_bytes);
    totals_.peak_bytes = state.total(CarriedTotal::peak_bytes);
    totals_.peak_ns = clock.to_ns(state.total(CarriedTotal::peak_stamp));
    totals_.temporary_allocations = state.total(CarriedTotal::temporary_allocations);
    totals_.unmatched_releases = state.total(CarriedTotal::unmatched_releases);
    totals_.replaced_blocks = state.total(CarriedTotal::replaced_blocks);
    totals_.mismatches = state.total(CarriedTotal::mismatches);
    totals_.peak_mapped_bytes = state.total(CarriedTotal::peak_mapped_bytes);
    unlisted_counts_.blocks = state.total(CarriedTotal::unlisted_blocks);
    unlisted_counts_.max_bytes = state.total(CarriedTotal::unlisted_max_bytes);
    unlisted_counts_.releases = state.total(CarriedTotal::unlisted_releases);
    std::ranges::copy(state.events_by_kind, totals_.events_by_kind);
    live_bytes_ = state.total(CarriedTotal::live_bytes);
    now_ = state.total(CarriedTotal::last_stamp);
    now_ns_ = clock.to_ns(now_);
}

// What the process, when it folded, did not know: which of its releases were of blocks of its parent.
void Replayer::carry_unknown(const CarriedState& state)
{
    for (const CarriedState::Range& range : state.unknown_ranges) mapped_.unmap(range.address, range.bytes);
    for (const CarriedState::Release& release : state.unknown_releases) {
        const std::optional<LiveBlock> block = take_block(release.address, release.kind);
        if (!block) continue;
        unknown_releases() -= one_block();
        if (format::same_family(block->kind, release.kind)) continue;
        count_mismatch(*block, release.kind);
    }
}

// -- Heap ------------------------------------------------------------------------------------------------------------

void Replayer::allocate(const TraceEvent& event)
{
    const LiveBlock block = block_of(event);
    const format::Amount amount = amount_of(block, sample_bytes_);
    totals_.allocations += amount.blocks;
    totals_.allocated_bytes += amount.bytes;
    last_allocation(event) = block.address;
    if (const auto replaced = table_of(block.kind).put(block)) {
        totals_.replaced_blocks += one_block();
        drop_live(*replaced);
        if (!replaced->inherited)
            accounts_.table().drop(accounts_.of(replaced->stack), amount_of(*replaced, sample_bytes_), now_);
        for (Analysis* analysis : analyses_)
            analysis->on_release(*replaced, event.at_ns, event.thread, EventKind::none);
    }
    add_live(block);
    accounts_.table().allocate(accounts_.of(block.stack), amount, now_);
    for (Analysis* analysis : analyses_) analysis->on_allocate(block);
    if (TraceEvent early; !early_.empty() && early_.take_for(event, early)) {
        early.stamp = event.stamp;
        early.at_ns = event.at_ns;
        table_of(block.kind).take(event.address);
        early_.note(early);
        release_known(early, block, true);
    }
}

void Replayer::release(const TraceEvent& event)
{
    if (const std::optional<LiveBlock> block = take_block(event.address, event.kind)) {
        early_.note(event);
        return release_known(event, *block, false);
    }
    if (streams_.size() == 1) return release_unknown(event, false);
    // Whether its realloc returns makes no difference to a block that is not known yet.
    streams_[event.stream].last_was_realloc_release = false;
    early_.add(event);
}

void Replayer::release_unknown(const TraceEvent& event, bool has_waited)
{
    totals_.releases += one_block();
    unknown_releases() += one_block();
    if (event.kind != EventKind::realloc_release) return;
    PendingRelease unmatched;
    unmatched.block.address = event.address;
    unmatched.released = event.stamp;
    remember(streams_[event.stream], unmatched, has_waited);
}

void Replayer::release_known(const TraceEvent& event, const LiveBlock& block, bool has_waited)
{
    const format::Amount amount = amount_of(block, sample_bytes_);
    totals_.releases += amount.blocks;
    drop_live(block);
    const bool mismatched = !format::same_family(block.kind, event.kind);
    if (mismatched) count_mismatch(block, event.kind);
    uint64_t& last = last_allocation(event);
    const bool own_last = last == event.address && block.thread == event.thread && !block.inherited;
    // A block that realloc moves lives on in another: that is no temporary.
    // Where the next allocation may not be recorded nobody knows.
    const bool is_temporary = own_last && event.kind != EventKind::realloc_release && sample_bytes_ == 0;
    if (is_temporary) totals_.temporary_allocations += amount.blocks;
    if (own_last) last = 0;
    if (!block.inherited)
        accounts_.table().release(accounts_.of(block.stack), amount, now_ - block.stamp, is_temporary, now_);
    if (event.kind == EventKind::realloc_release) {
        remember(streams_[event.stream], {block, now_, mismatched}, has_waited);
        if (!block.inherited && !has_waited) accounts_.table().depart(accounts_.of(block.stack), amount);
    }
    for (Analysis* analysis : analyses_) analysis->on_release(block, event.at_ns, event.thread, event.kind);
}

// leak_free() of a block that only malloc knows releases nothing; free() of a block that only leak_alloc() knows does.
std::optional<LiveBlock> Replayer::take_block(uint64_t address, EventKind released_by)
{
    if (released_by == EventKind::custom_free) return custom_.take(address);
    if (auto block = heap_.take(address)) return block;
    return custom_.size() == 0 ? std::nullopt : custom_.take(address);
}

// The last one stays the one that goes on, if one does.
void Replayer::remember(StreamState& stream, const PendingRelease& pending, bool has_waited)
{
    auto& all = stream.pending;
    if (all.size() == StreamState::kMostPending) all.erase(all.begin());
    const bool goes_on = has_waited && stream.last_was_realloc_release && !all.empty();
    all.insert(goes_on ? all.end() - 1 : all.end(), pending);
}

// The block of which the stream's last event was the realloc_release, where its stack has an account of it.
const LiveBlock* Replayer::moving_block(const StreamState& stream)
{
    if (!stream.last_was_realloc_release || stream.pending.empty()) return nullptr;
    const LiveBlock& block = stream.pending.back().block;
    return block.kind == EventKind::none || block.inherited ? nullptr : &block;
}

// The stream has another event, or has ended.
void Replayer::end_realloc(const StreamState& stream)
{
    if (const LiveBlock* block = moving_block(stream))
        accounts_.table().arrive(accounts_.of(block->stack), amount_of(*block, sample_bytes_), now_);
}

void Replayer::undo_realloc(const TraceEvent& event)
{
    if (TraceEvent early; early_.take_undone(event, early)) return;
    auto& pending = streams_[event.stream].pending;
    for (auto at = pending.rbegin(); at != pending.rend(); ++at)
        if (at->valid && at->block.address == event.address) return revive(*at, event.address);
}

// Takes a release back, unless the address has another block by now: then it was a real one.
void Replayer::revive(PendingRelease& pending, uint64_t address)
{
    if (!std::exchange(pending.valid, false)) return;
    const LiveBlock& block = pending.block;
    if (block.kind == EventKind::none) {
        totals_.releases -= one_block();
        unknown_releases() -= one_block();
        return;
    }
    LiveTable& table = table_of(block.kind);
    if (table.find(address) != nullptr) return;
    table.put(block);
    const format::Amount amount = amount_of(block, sample_bytes_);
    totals_.releases -= amount.blocks;
    if (pending.mismatched) {
        totals_.mismatches -= amount.blocks;
        Mismatch& mismatch = mismatch_of(block, EventKind::realloc_release);
        mismatch.blocks -= amount.blocks;
        mismatch.bytes -= amount.bytes;
    }
    add_live(block);
    if (!block.inherited)
        accounts_.table().take_back(accounts_.of(block.stack), amount, pending.released - block.stamp, now_);
    for (Analysis* analysis : analyses_) analysis->on_allocate(block);
}

// -- Mappings --------------------------------------------------------------------------------------------------------

void Replayer::map(const TraceEvent& event)
{
    const LiveBlock range = block_of(event);
    const std::vector<LiveBlock> replaced = mapped_.map(range);
    unmap_pieces(replaced);
    accounts_.table().map(accounts_.of(range.stack), format::unweighed(range.bytes, sample_bytes_), now_);
    totals_.peak_mapped_bytes = std::max(totals_.peak_mapped_bytes, mapped_.bytes());
    for (Analysis* analysis : analyses_) {
        for (const LiveBlock& piece : replaced) analysis->on_release(piece, event.at_ns, event.thread, EventKind::none);
        analysis->on_allocate(range);
    }
}

void Replayer::unmap(const TraceEvent& event)
{
    std::vector<LiveBlock>& pieces = streams_[event.stream].unmapped;
    pieces = mapped_.unmap(event.address, event.size);
    unmap_pieces(pieces);
    for (Analysis* analysis : analyses_)
        for (const LiveBlock& piece : pieces) analysis->on_release(piece, event.at_ns, event.thread, event.kind);
}

void Replayer::undo_unmap(const TraceEvent& event)
{
    std::vector<LiveBlock>& pieces = streams_[event.stream].unmapped;
    for (const LiveBlock& piece : mapped_.restore(pieces)) {
        if (!piece.inherited) accounts_.table().map_again(accounts_.of(piece.stack), piece.bytes, now_);
        for (Analysis* analysis : analyses_) analysis->on_allocate(piece);
    }
    pieces.clear();
}

void Replayer::unmap_pieces(const std::vector<LiveBlock>& pieces)
{
    for (const LiveBlock& piece : pieces)
        if (!piece.inherited) accounts_.table().unmap(accounts_.of(piece.stack), piece.bytes, now_);
}

// -- Counting --------------------------------------------------------------------------------------------------------

// Releases of addresses that no known block has.
uint64_t& Replayer::unknown_releases()
{
    return unlisted_counts_.blocks != 0 ? unlisted_counts_.releases : totals_.unmatched_releases;
}

LiveTable& Replayer::table_of(EventKind allocated)
{
    return allocated == EventKind::custom_alloc ? custom_ : heap_;
}

void Replayer::add_live(const LiveBlock& block)
{
    if (block.inherited) return;
    live_bytes_ += amount_of(block, sample_bytes_).bytes;
    if (live_bytes_ <= totals_.peak_bytes) return;
    totals_.peak_bytes = live_bytes_;
    totals_.peak_ns = now_ns_;
}

void Replayer::drop_live(const LiveBlock& block)
{
    if (!block.inherited) live_bytes_ -= amount_of(block, sample_bytes_).bytes;
}

void Replayer::count_mismatch(const LiveBlock& block, EventKind released_by)
{
    const format::Amount amount = amount_of(block, sample_bytes_);
    totals_.mismatches += amount.blocks;
    Mismatch& mismatch = mismatch_of(block, released_by);
    mismatch.blocks += amount.blocks;
    mismatch.bytes += amount.bytes;
}

Mismatch& Replayer::mismatch_of(const LiveBlock& block, EventKind released_by)
{
    Mismatch& mismatch = mismatches_[{block.stack, block.kind, released_by}];
    mismatch.stack = block.stack;
    mismatch.allocated_by = block.kind;
    mismatch.released_by = released_by;
    return mismatch;
}

void Replayer::tick()
{
    const int64_t passed = now_ns_ / kTickNs * kTickNs;
    next_tick_ns_ = passed + kTickNs;
    for (Analysis* analysis : analyses_) analysis->on_tick(passed);
}

// -- Results ---------------------------------------------------------------------------------------------------------

std::vector<Mismatch> Replayer::mismatches() const
{
    std::vector<Mismatch> all;
    for (const auto& [key, mismatch] : mismatches_)
        if (mismatch.blocks != 0) all.push_back(mismatch);
    std::ranges::sort(all, {}, [](const Mismatch& mismatch) {
        return std::tuple(~mismatch.bytes, mismatch.stack, mismatch.allocated_by, mismatch.released_by);
    });
    return all;
}

std::vector<LiveBlock> Replayer::live_blocks() const
{
    std::vector<LiveBlock> blocks;
    blocks.reserve(heap_.size() + custom_.size());
    const auto add = [&](const LiveBlock& block) { blocks.push_back(block); };
    heap_.for_each(add);
    custom_.for_each(add);
    std::ranges::sort(blocks, [](const LiveBlock& a, const LiveBlock& b) {
        return std::tie(a.allocated_ns, a.address, a.kind) < std::tie(b.allocated_ns, b.address, b.kind);
    });
    blocks.insert(blocks.end(), unlisted_.begin(), unlisted_.end());
    return blocks;
}

} // namespace leak::analyzer
