#include "analyzer/replay/replayer.hpp"

#include "analyzer/replay/families.hpp"

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
    const std::optional<LiveBlock> block = take_block(event);
    if (!block) {
        ++totals_.unmatched_releases;
        if (event.kind == EventKind::realloc_release) {
            PendingRelease unmatched;
            unmatched.block.address = event.address;
            remember(streams_[event.stream], unmatched);
        }
        return;
    }
    drop_live(*block);
    const bool mismatched = !same_family(block->kind, event.kind);
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
std::optional<LiveBlock> Replayer::take_block(const TraceEvent& event)
{
    if (event.kind == EventKind::custom_free) return custom_.take(event.address);
    if (auto block = heap_.take(event.address)) return block;
    return custom_.size() == 0 ? std::nullopt : custom_.take(event.address);
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
        --totals_.unmatched_releases;
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
    return blocks;
}

} // namespace leak::analyzer
