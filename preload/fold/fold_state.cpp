#include "preload/fold/fold_state.hpp"

#include "format/families.hpp"

#include <algorithm>

namespace leak::preload {

using format::CarriedTotal;
using format::EventKind;

namespace {

constexpr uint32_t kMostLevels = 4; // of which one is not used
static_assert(kLevels < kMostLevels);

[[nodiscard]] constexpr uint64_t key_of(uint32_t thread, uint32_t level) noexcept
{
    return uint64_t{thread} * kMostLevels + level % kLevels;
}
[[nodiscard]] constexpr uint64_t key_of_first(uint32_t thread) noexcept
{
    return uint64_t{thread} * kMostLevels + kLevels;
}

[[nodiscard]] FoldBlock block_of(const FoldEvent& event) noexcept
{
    FoldBlock block{};
    block.address = event.address;
    block.bytes = (event.size < FoldBlock::kMostBytes ? event.size : FoldBlock::kMostBytes) & FoldBlock::kMostBytes;
    block.kind = static_cast<uint8_t>(event.kind);
    block.alignment_log2 = is_mapping(event.kind) ? 0 : event.extra;
    block.stamp = event.stamp;
    block.stack = event.stack;
    block.thread = event.thread & INT32_MAX;
    block.truncated = event.truncated ? 1 : 0;
    return block;
}

} // namespace

bool FoldState::init(bool has_parent, const HistoryGrid& history, uint64_t sample_bytes) noexcept
{
    has_parent_ = has_parent;
    sample_bytes_ = sample_bytes;
    return stacks_.init(history);
}

uint32_t FoldState::stream_of(uint32_t thread, uint32_t level) noexcept
{
    const uint32_t known = stream_numbers_.find(key_of(thread, level));
    if (known != NumberTable::kNone) return known;
    const auto number = static_cast<uint32_t>(streams_.size());
    const uint32_t first = stream_numbers_.find(key_of_first(thread));
    StreamState fresh{};
    fresh.thread = thread;
    fresh.level = level;
    fresh.first = first != NumberTable::kNone ? first : number;
    streams_.push_back(fresh);
    if (streams_.size() == number) return 0; // no memory
    number_stream(number);
    return number;
}

void FoldState::number_stream(uint32_t number) noexcept
{
    const StreamState& stream = streams_[number];
    stream_numbers_.put(key_of(stream.thread, stream.level), number);
    if (stream.first == number) stream_numbers_.put(key_of_first(stream.thread), number);
}

void FoldState::apply(const FoldEvent& event) noexcept
{
    if (event.stamp < now()) [[unlikely]] { // folded later than one that a release waited for
        FoldEvent late = event;
        late.stamp = now();
        return apply(late);
    }
    if (!early_.empty()) [[unlikely]]
        settle(event.stamp);
    total(CarriedTotal::last_stamp) = event.stamp;
    ++events_by_kind_[static_cast<size_t>(event.kind)];
    StreamState& stream = streams_[event.stream];
    if (stream.last_was_realloc_release) [[unlikely]]
        end_realloc(stream);
    stream.last_was_realloc_release = event.kind == EventKind::realloc_release;
    if (is_heap_allocation(event.kind)) return allocate(event);
    if (is_heap_release(event.kind)) return release_block(event);
    if (is_mapping(event.kind)) return map(event);
    if (is_unmapping(event.kind)) return unmap(event);
    if (event.kind == EventKind::realloc_undo) return undo_realloc(event);
    if (event.kind == EventKind::unmap_undo) return undo_unmap(event);
}

void FoldState::settle(uint64_t stamp) noexcept
{
    early_.give_up(stamp, [this](const FoldEvent& release) { release_unknown(release, true); });
}

// -- Heap --

void FoldState::allocate(const FoldEvent& event) noexcept
{
    const FoldBlock block = block_of(event);
    const format::Amount amount = amount_of(block);
    total(CarriedTotal::allocations) += amount.blocks;
    total(CarriedTotal::allocated_bytes) += amount.bytes;
    last_allocation(event) = block.address;
    if (FoldBlock replaced; table_of(event.kind).put(block, replaced)) {
        total(CarriedTotal::replaced_blocks) += one_block();
        drop_live(replaced);
        accounts().drop(account_of(replaced), amount_of(replaced), event.stamp);
    }
    add_live(block);
    accounts().allocate(account_of(block), amount, event.stamp);
    if (FoldEvent early; !early_.empty() && early_.take_for(event, early)) [[unlikely]] {
        early.stamp = event.stamp;
        FoldBlock released{};
        table_of(event.kind).take(event.address, released);
        early_.note(early);
        release_known(early, released, true);
    }
}

void FoldState::release_block(const FoldEvent& event) noexcept
{
    FoldBlock block{};
    if (take_block(event, block)) {
        early_.note(event);
        return release_known(event, block, false);
    }
    if (streams_.size() == 1) return release_unknown(event, false);
    // Whether its realloc returns makes no difference to a block that is not known yet.
    streams_[event.stream].last_was_realloc_release = false;
    early_.add(event);
}

void FoldState::release_unknown(const FoldEvent& event, bool has_waited) noexcept
{
    total(CarriedTotal::releases) += one_block();
    const bool may_be_unlisted = total(CarriedTotal::unlisted_blocks) != 0;
    total(may_be_unlisted ? CarriedTotal::unlisted_releases : CarriedTotal::unmatched_releases) += one_block();
    if (has_parent_) unknown_releases_.push_back({event.address, event.thread, event.kind});
    if (event.kind != EventKind::realloc_release) return;
    FoldBlock none{};
    none.address = event.address;
    remember(streams_[event.stream], {none, event.stamp, false, true}, has_waited);
}

void FoldState::release_known(const FoldEvent& event, const FoldBlock& block, bool has_waited) noexcept
{
    const format::Amount amount = amount_of(block);
    total(CarriedTotal::releases) += amount.blocks;
    drop_live(block);
    const bool mismatched = !format::same_family(block.event_kind(), event.kind);
    if (mismatched) {
        total(CarriedTotal::mismatches) += amount.blocks;
        Mismatch& mismatch = mismatch_of(block, event.kind);
        mismatch.blocks += amount.blocks;
        mismatch.bytes += amount.bytes;
    }
    uint64_t& last = last_allocation(event);
    const bool own_last = last == event.address && block.thread == event.thread;
    // A block that realloc moves lives on in another: that is no temporary.
    // Where the next allocation may not be recorded nobody knows.
    const bool is_temporary = own_last && event.kind != EventKind::realloc_release && sample_bytes_ == 0;
    if (is_temporary) total(CarriedTotal::temporary_allocations) += amount.blocks;
    if (own_last) last = 0;
    accounts().release(account_of(block), amount, event.stamp - block.stamp, is_temporary, event.stamp);
    if (event.kind != EventKind::realloc_release) return;
    remember(streams_[event.stream], {block, event.stamp, mismatched, true}, has_waited);
    if (!has_waited) accounts().depart(account_of(block), amount);
}

// leak_free() of a block that only malloc knows releases nothing; free() of a block that only leak_alloc() knows does.
bool FoldState::take_block(const FoldEvent& event, FoldBlock& block) noexcept
{
    if (event.kind == EventKind::custom_free) return custom_.take(event.address, block);
    return heap_.take(event.address, block) || custom_.take(event.address, block);
}

// The last one stays the one that goes on, if one does.
void FoldState::remember(StreamState& stream, const StreamState::Pending& pending, bool has_waited) noexcept
{
    if (stream.pending_count == StreamState::kMostPending) {
        for (uint32_t i = 1; i < StreamState::kMostPending; ++i) stream.pending[i - 1] = stream.pending[i];
        --stream.pending_count;
    }
    uint32_t at = stream.pending_count++;
    if (has_waited && stream.last_was_realloc_release && at > 0) {
        stream.pending[at] = stream.pending[at - 1];
        --at;
    }
    stream.pending[at] = pending;
}

// The stream's last event was the realloc_release of the last pending block, and now it has another.
void FoldState::end_realloc(const StreamState& stream) noexcept
{
    if (stream.pending_count == 0) return;
    const FoldBlock& block = stream.pending[stream.pending_count - 1].block;
    if (block.event_kind() != EventKind::none) accounts().arrive(account_of(block), amount_of(block), now());
}

void FoldState::undo_realloc(const FoldEvent& event) noexcept
{
    StreamState& stream = streams_[event.stream];
    if (FoldEvent early; early_.take_undone(event, early)) return;
    for (uint32_t i = stream.pending_count; i-- > 0;)
        if (stream.pending[i].valid && stream.pending[i].block.address == event.address)
            return revive(stream.pending[i], event.address);
}

// Takes a release back, unless the address has another block by now: then it was a real one.
void FoldState::revive(StreamState::Pending& pending, uint64_t address) noexcept
{
    pending.valid = false;
    const FoldBlock& block = pending.block;
    if (block.event_kind() == EventKind::none) {
        total(CarriedTotal::releases) -= one_block();
        const bool was_unlisted = total(CarriedTotal::unlisted_blocks) != 0;
        total(was_unlisted ? CarriedTotal::unlisted_releases : CarriedTotal::unmatched_releases) -= one_block();
        for (size_t i = unknown_releases_.size(); i-- > 0;) {
            if (unknown_releases_[i].address != address) continue;
            unknown_releases_.erase(i);
            break;
        }
        return;
    }
    FoldBlocks& table = table_of(block.event_kind());
    if (table.has(address)) return;
    FoldBlock none;
    table.put(block, none);
    const format::Amount amount = amount_of(block);
    total(CarriedTotal::releases) -= amount.blocks;
    if (pending.mismatched) {
        total(CarriedTotal::mismatches) -= amount.blocks;
        Mismatch& mismatch = mismatch_of(block, EventKind::realloc_release);
        mismatch.blocks -= amount.blocks;
        mismatch.bytes -= amount.bytes;
    }
    add_live(block);
    accounts().take_back(account_of(block), amount, pending.released - block.stamp, now());
}

void FoldState::add_live(const FoldBlock& block) noexcept
{
    uint64_t& live = total(CarriedTotal::live_bytes);
    live += amount_of(block).bytes;
    if (live > total(CarriedTotal::peak_bytes)) {
        total(CarriedTotal::peak_bytes) = live;
        total(CarriedTotal::peak_stamp) = now();
    }
}

void FoldState::drop_live(const FoldBlock& block) noexcept
{
    total(CarriedTotal::live_bytes) -= amount_of(block).bytes;
}

FoldState::Mismatch& FoldState::mismatch_of(const FoldBlock& block, EventKind released_by) noexcept
{
    for (Mismatch& mismatch : mismatches_)
        if (mismatch.stack == block.stack && mismatch.allocated_by == block.event_kind() &&
            mismatch.released_by == released_by)
            return mismatch;
    mismatches_.push_back({block.stack, block.event_kind(), released_by, 0, 0});
    return mismatches_.out_of_memory() ? spare_mismatch_ : mismatches_.back();
}

// -- Mappings --

void FoldState::map(const FoldEvent& event) noexcept
{
    const FoldBlock range = block_of(event);
    if (has_parent_) note_unknown_range(range.address, range.bytes);
    pieces_.clear();
    ranges_.map(range, pieces_);
    take_ranges_off();
    accounts().map(account_of(range), format::unweighed(range.bytes, sample_bytes_), event.stamp);
    uint64_t& peak = total(CarriedTotal::peak_mapped_bytes);
    if (ranges_.bytes() > peak) peak = ranges_.bytes();
}

void FoldState::unmap(const FoldEvent& event) noexcept
{
    for (size_t i = unmapped_.size(); i-- > 0;)
        if (unmapped_[i].stream == event.stream) unmapped_.erase(i);
    pieces_.clear();
    if (ranges_.unmap(event.address, event.size, pieces_) != 0 && has_parent_)
        note_unknown_range(event.address, event.size);
    take_ranges_off();
    for (const FoldBlock& piece : pieces_) unmapped_.push_back({event.stream, piece});
}

void FoldState::undo_unmap(const FoldEvent& event) noexcept
{
    for (size_t i = 0; i < unmapped_.size(); ++i)
        if (const FoldBlock& piece = unmapped_[i].piece; unmapped_[i].stream == event.stream && ranges_.restore(piece))
            accounts().map_again(account_of(piece), piece.bytes, event.stamp);
    for (size_t i = unmapped_.size(); i-- > 0;)
        if (unmapped_[i].stream == event.stream) unmapped_.erase(i);
}

void FoldState::take_ranges_off() noexcept
{
    for (const FoldBlock& piece : pieces_) accounts().unmap(account_of(piece), piece.bytes, now());
}

// The parent's ranges have no place there any more.
void FoldState::note_unknown_range(uint64_t address, uint64_t bytes) noexcept
{
    const UnknownRange range = {address, address + bytes};
    for (UnknownRange& known : unknown_ranges_) {
        if (known.end < range.begin || range.end < known.begin) continue;
        if (range.begin < known.begin) known.begin = range.begin;
        if (range.end > known.end) known.end = range.end;
        return;
    }
    unknown_ranges_.push_back(range);
}

// -- Threads --

void FoldState::note_ended(const MappedArray<ThreadEnd>& ends) noexcept
{
    for (const ThreadEnd& end : ends) ended_.push_back(end);
}

// A raw buffer may have had its last event by now or not: its chunk is waited for. A realloc that will never return
// stays.
bool FoldState::is_folded(const ThreadEnd& end) const noexcept
{
    for (uint32_t level = 0; level < kLevels; ++level) {
        const uint32_t number = stream_numbers_.find(key_of(end.thread, level));
        if (number == NumberTable::kNone && end.buffers[level] != 0) return false;
        if (number == NumberTable::kNone) continue;
        const StreamState& stream = streams_[number];
        if (stream.sequence != end.buffers[level] || stream.events != 0 || stream.last_was_realloc_release)
            return false;
    }
    return true;
}

void FoldState::forget_streams() noexcept
{
    MappedArray<uint32_t> threads;
    size_t kept = 0;
    for (const ThreadEnd& end : ended_) {
        if (is_folded(end))
            threads.push_back(end.thread);
        else
            ended_[kept++] = end;
    }
    if (threads.out_of_memory()) ended_.set_out_of_memory();
    static_cast<void>(ended_.resize(kept));
    if (threads.empty() || out_of_memory()) return;
    forgotten_.add(threads);
    drop_forgotten_streams();
}

void FoldState::drop_forgotten_streams() noexcept
{
    MappedArray<uint32_t> renumbered; // by the number before
    uint32_t kept = 0;
    for (const StreamState& stream : streams_) {
        const bool is_forgotten = forgotten_.has(stream.thread);
        renumbered.push_back(is_forgotten ? NumberTable::kNone : kept);
        if (is_forgotten)
            forgotten_buffers_ += stream.sequence;
        else
            streams_[kept++] = stream;
    }
    if (renumbered.out_of_memory()) return streams_.set_out_of_memory();
    static_cast<void>(streams_.resize(kept));
    stream_numbers_.clear();
    for (uint32_t i = 0; i < kept; ++i) {
        streams_[i].first = renumbered[streams_[i].first];
        number_stream(i);
    }
    size_t kept_pieces = 0;
    for (const UnmappedPiece& unmapped : unmapped_)
        if (const uint32_t number = renumbered[unmapped.stream]; number != NumberTable::kNone)
            unmapped_[kept_pieces++] = {number, unmapped.piece};
    static_cast<void>(unmapped_.resize(kept_pieces));
}

void FoldState::forget_threads(uint64_t stamp) noexcept
{
    NumberTable needed;
    uint64_t before = UINT64_MAX;
    const auto need = [&](const FoldBlock& block) {
        if (block.thread != before) needed.put(block.thread, 0);
        before = block.thread;
    };
    heap_.for_each(need);
    custom_.for_each(need);
    for (const FoldBlock& range : ranges_.all()) need(range);
    for (const UnmappedPiece& unmapped : unmapped_) need(unmapped.piece);
    for (const StreamState& stream : streams_)
        for (uint32_t i = 0; i < stream.pending_count; ++i) need(stream.pending[i].block);
    if (!needed.out_of_memory()) journal_.drop_old(stamp, needed);
}

// -- Memory --

bool FoldState::coarsen_history() noexcept
{
    constexpr size_t kFew = 256; // points that are not worth another attempt
    const size_t had = accounts().points().size();
    if (had <= kFew) return false;
    while (accounts().points().size() > had / 16) accounts().coarsen();
    return true;
}

bool FoldState::unlist_smallest() noexcept
{
    MappedArray<uint32_t> order;
    if (!heap_.sort(order)) return false;
    if (order.empty()) return false;
    MappedArray<uint64_t> sizes;
    for (const uint32_t place : order) sizes.push_back(heap_.at(place).bytes);
    MappedArray<uint64_t> addresses;
    std::nth_element(sizes.begin(), sizes.begin() + sizes.size() / 2, sizes.end());
    const uint64_t most_bytes = sizes[sizes.size() / 2];
    for (const uint32_t place : order)
        if (heap_.at(place).bytes <= most_bytes) addresses.push_back(heap_.at(place).address);
    if (sizes.out_of_memory() || addresses.out_of_memory()) return false;
    for (const uint64_t address : addresses) {
        FoldBlock block;
        if (!heap_.take(address, block)) continue;
        format::StackTotals& stack = accounts()[account_of(block)];
        const format::Amount amount = amount_of(block);
        if (stack.unlisted_blocks == 0 || block.stamp < stack.unlisted_first_stamp)
            stack.unlisted_first_stamp = block.stamp;
        if (block.stamp >= stack.unlisted_last_stamp) {
            stack.unlisted_last_stamp = block.stamp;
            stack.unlisted_kind = block.kind;
        }
        stack.unlisted_blocks += amount.blocks;
        stack.unlisted_bytes += amount.bytes;
        total(CarriedTotal::unlisted_blocks) += amount.blocks;
    }
    uint64_t& largest = total(CarriedTotal::unlisted_max_bytes);
    if (most_bytes > largest) largest = most_bytes;
    return true;
}

bool FoldState::out_of_memory() const noexcept
{
    return heap_.out_of_memory() || custom_.out_of_memory() || ranges_.out_of_memory() || stacks_.out_of_memory() ||
           streams_.out_of_memory() || stream_numbers_.out_of_memory() || ended_.out_of_memory() ||
           forgotten_.out_of_memory() || mismatches_.out_of_memory() || unmapped_.out_of_memory() ||
           pieces_.out_of_memory() || unknown_releases_.out_of_memory() || unknown_ranges_.out_of_memory() ||
           journal_.out_of_memory() || early_.waiting().out_of_memory();
}

} // namespace leak::preload
