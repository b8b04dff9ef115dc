#include "analyzer/replay/replayer.hpp"

#include "format/families.hpp"

#include <algorithm>
#include <tuple>
#include <utility>

namespace leak::analyzer {

using format::EventKind;

namespace {

[[nodiscard]] LiveBlock block_of(const TraceEvent& event)
{
    LiveBlock block;
    block.address = event.address;
    block.bytes = event.size;
    block.allocated_ns = event.at_ns;
    block.stack = event.stack;
    block.thread = event.thread;
    block.kind = event.kind;
    block.alignment_log2 = is_mapping(event.kind) ? uint8_t{0} : event.extra;
    block.truncated_stack = event.truncated;
    return block;
}

} // namespace

Replayer::Replayer(const TraceContents& trace, std::vector<Analysis*> analyses)
    : analyses_(std::move(analyses)), streams_(trace.streams.size()), last_allocation_(trace.threads.size())
{
    totals_.threads = trace.threads.size();
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
    now_ns_ = event.at_ns;
    if (!analyses_.empty() && now_ns_ >= next_tick_ns_) tick();
    ++totals_.events_by_kind[static_cast<size_t>(event.kind)];
    streams_[event.stream].last_was_realloc_release = event.kind == EventKind::realloc_release;
    if (is_heap_allocation(event.kind)) return allocate(event);
    if (is_heap_release(event.kind)) return release(event);
    if (is_mapping(event.kind)) return map(event);
    if (is_unmapping(event.kind)) return unmap(event);
    if (event.kind == EventKind::realloc_undo) return undo_realloc(event);
    if (event.kind == EventKind::unmap_undo) return undo_unmap(event);
}

void Replayer::finish()
{
    for (StreamState& stream : streams_)
        if (stream.last_was_realloc_release) revive(stream.pending.back(), stream.pending.back().block.address);
    for (Analysis* analysis : analyses_) {
        analysis->on_tick(now_ns_);
        analysis->finish(now_ns_);
    }
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
        block.stack = ids[carried.stack];
        block.thread = ThreadId{carried.thread};
        block.kind = carried.kind;
        block.alignment_log2 = carried.alignment_log2;
        block.truncated_stack = carried.truncated;
        return block;
    };
    carry_totals(state, trace.clock);
    for (const CarriedState::Stack& stack : state.stacks) carry_stack(stack, ids[stack.node], trace.clock);
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
    for (size_t i = 0; i < std::min(last_allocation_.size(), state.last_allocation.size()); ++i)
        last_allocation_[i] = state.last_allocation[i];
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
            remember(*stream, {block_from(pending.block), pending.mismatched, pending.valid});
    }
    for (const auto& [number, piece] : state.unmapped)
        if (StreamState* stream = stream_of(state.streams[number])) stream->unmapped.push_back(block_from(piece));
}

void Replayer::carry_stack(const CarriedState::Stack& carried, StackId stack, const StampConverter& clock)
{
    count_stack(stack);
    if (carried.numbers.unlisted_blocks == 0) return;
    LiveBlock& blocks = unlisted_.emplace_back();
    blocks.bytes = carried.numbers.unlisted_bytes;
    blocks.allocated_ns = clock.to_ns(carried.numbers.unlisted_first_stamp);
    blocks.stack = stack;
    blocks.thread = ThreadId{UINT32_MAX};
    blocks.kind = static_cast<EventKind>(carried.numbers.unlisted_kind);
    blocks.blocks = carried.numbers.unlisted_blocks;
    unlisted_counts_.bytes += blocks.bytes;
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
    now_ns_ = clock.to_ns(state.total(CarriedTotal::last_stamp));
}

// What the process, when it folded, did not know: which of its releases were of blocks of its parent.
void Replayer::carry_unknown(const CarriedState& state)
{
    for (const CarriedState::Range& range : state.unknown_ranges) mapped_.unmap(range.address, range.bytes);
    for (const CarriedState::Release& release : state.unknown_releases) {
        const std::optional<LiveBlock> block = take_block(release.address, release.kind);
        if (!block) continue;
        --unknown_releases();
        if (format::same_family(block->kind, release.kind)) continue;
        ++totals_.mismatches;
        Mismatch& mismatch = mismatch_of(*block, release.kind);
        ++mismatch.blocks;
        mismatch.bytes += block->bytes;
    }
}

// -- Heap ------------------------------------------------------------------------------------------------------------

void Replayer::allocate(const TraceEvent& event)
{
    const LiveBlock block = block_of(event);
    ++totals_.allocations;
    totals_.allocated_bytes += block.bytes;
    last_allocation_[event.thread.value] = block.address;
    count_stack(block.stack);
    if (const auto replaced = table_of(block.kind).put(block)) {
        ++totals_.replaced_blocks;
        drop_live(*replaced);
        for (Analysis* analysis : analyses_)
            analysis->on_release(*replaced, event.at_ns, event.thread, EventKind::none);
    }
    add_live(block);
    for (Analysis* analysis : analyses_) analysis->on_allocate(block);
}

void Replayer::release(const TraceEvent& event)
{
    ++totals_.releases;
    const std::optional<LiveBlock> block = take_block(event.address, event.kind);
    if (!block) {
        ++unknown_releases();
        if (event.kind == EventKind::realloc_release) {
            PendingRelease unmatched;
            unmatched.block.address = event.address;
            remember(streams_[event.stream], unmatched);
        }
        return;
    }
    drop_live(*block);
    const bool mismatched = !format::same_family(block->kind, event.kind);
    if (mismatched) {
        ++totals_.mismatches;
        Mismatch& mismatch = mismatch_of(*block, event.kind);
        ++mismatch.blocks;
        mismatch.bytes += block->bytes;
    }
    uint64_t& last = last_allocation_[event.thread.value];
    const bool own_last = last == event.address && block->thread == event.thread && !block->inherited;
    // A block that realloc moves lives on in another: that is no temporary.
    if (own_last && event.kind != EventKind::realloc_release) ++totals_.temporary_allocations;
    if (own_last) last = 0;
    if (event.kind == EventKind::realloc_release) remember(streams_[event.stream], {*block, mismatched});
    for (Analysis* analysis : analyses_) analysis->on_release(*block, event.at_ns, event.thread, event.kind);
}

// leak_free() of a block that only malloc knows releases nothing; free() of a block that only leak_alloc() knows does.
std::optional<LiveBlock> Replayer::take_block(uint64_t address, EventKind released_by)
{
    if (released_by == EventKind::custom_free) return custom_.take(address);
    if (auto block = heap_.take(address)) return block;
    return custom_.size() == 0 ? std::nullopt : custom_.take(address);
}

void Replayer::remember(StreamState& stream, const PendingRelease& pending)
{
    if (stream.pending.size() == StreamState::kMostPending) stream.pending.erase(stream.pending.begin());
    stream.pending.push_back(pending);
}

void Replayer::undo_realloc(const TraceEvent& event)
{
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
        --totals_.releases;
        --unknown_releases();
        return;
    }
    LiveTable& table = table_of(block.kind);
    if (table.find(address) != nullptr) return;
    table.put(block);
    --totals_.releases;
    if (pending.mismatched) {
        --totals_.mismatches;
        Mismatch& mismatch = mismatch_of(block, EventKind::realloc_release);
        --mismatch.blocks;
        mismatch.bytes -= block.bytes;
    }
    add_live(block);
    for (Analysis* analysis : analyses_) analysis->on_allocate(block);
}

// -- Mappings --------------------------------------------------------------------------------------------------------

void Replayer::map(const TraceEvent& event)
{
    const LiveBlock range = block_of(event);
    count_stack(range.stack);
    const std::vector<LiveBlock> replaced = mapped_.map(range);
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
    for (Analysis* analysis : analyses_)
        for (const LiveBlock& piece : pieces) analysis->on_release(piece, event.at_ns, event.thread, event.kind);
}

void Replayer::undo_unmap(const TraceEvent& event)
{
    std::vector<LiveBlock>& pieces = streams_[event.stream].unmapped;
    mapped_.restore(pieces);
    for (Analysis* analysis : analyses_)
        for (const LiveBlock& piece : pieces) analysis->on_allocate(piece);
    pieces.clear();
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
    live_bytes_ += block.bytes;
    if (live_bytes_ <= totals_.peak_bytes) return;
    totals_.peak_bytes = live_bytes_;
    totals_.peak_ns = now_ns_;
}

void Replayer::drop_live(const LiveBlock& block)
{
    if (!block.inherited) live_bytes_ -= block.bytes;
}

Mismatch& Replayer::mismatch_of(const LiveBlock& block, EventKind released_by)
{
    Mismatch& mismatch = mismatches_[{block.stack, block.kind, released_by}];
    mismatch.stack = block.stack;
    mismatch.allocated_by = block.kind;
    mismatch.released_by = released_by;
    return mismatch;
}

void Replayer::count_stack(StackId stack)
{
    if (stack.value >= stack_seen_.size())
        stack_seen_.resize(std::max<size_t>(stack.value + size_t{1}, 2 * stack_seen_.size()));
    if (std::exchange(stack_seen_[stack.value], uint8_t{1}) == 0) ++totals_.stacks;
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
