#include "analyzer/decode/carried.hpp"

#include <string>

namespace leak::analyzer {

using format::CarriedBlock;
using format::CarriedDecoder;
using format::EventKind;

namespace {

[[nodiscard]] EventKind kind_of(CarriedDecoder& from)
{
    const uint64_t number = from.get();
    if (number >= format::kEventKindCount) from.refuse();
    return static_cast<EventKind>(number & format::kOpKindMask);
}

// Numbers of which this version knows as many as `known` holds; more are skipped, fewer leave the rest 0.
void read_numbers(CarriedDecoder& from, std::span<uint64_t> known)
{
    const uint64_t count = from.get_count();
    for (uint64_t i = 0; i < count && from.is_sound(); ++i) {
        const uint64_t number = from.get();
        if (i < known.size()) known[i] = number;
    }
}

// Calls read(item) for each item of a list.
template <typename Item, typename Read> void read_list(CarriedDecoder& from, std::vector<Item>& items, Read&& read)
{
    for (uint64_t left = from.get_count(); left > 0 && from.is_sound(); --left) read(items.emplace_back());
}

// `count` numbers, of which `known` says what they are; the one behind those is the tick of the last change.
void read_totals(CarriedDecoder& from, uint64_t count, std::span<uint64_t format::StackTotals::* const> known,
                 format::StackTotals& totals)
{
    for (uint64_t i = 0; i < count && from.is_sound(); ++i) {
        if (i < known.size())
            totals.*known[i] = from.get();
        else if (i == known.size())
            totals.changed = from.get32();
        else
            from.get();
    }
}

void read_stacks(CarriedDecoder& from, CarriedState& state)
{
    state.nodes.emplace_back();
    read_list(from, state.nodes, [&](CarriedState::Node& node) {
        const uint64_t back = from.get();
        if (back == 0 || back > state.nodes.size() - 1) return from.refuse();
        node.caller = static_cast<uint32_t>(state.nodes.size() - 1 - back);
        node.pc_id = from.get32();
    });
    uint64_t count = from.get_count();
    const uint64_t numbers = from.get(); // of each
    for (uint64_t node = 0; count > 0 && from.is_sound(); --count) {
        node += from.get();
        CarriedState::Stack& stack = state.stacks.emplace_back();
        if (node >= state.nodes.size()) return from.refuse();
        stack.node = static_cast<uint32_t>(node);
        read_totals(from, numbers, format::kCarriedStackNumbers, stack.totals);
        if (stack.totals.unlisted_kind >= format::kEventKindCount) from.refuse();
    }
}

void read_points(CarriedDecoder& from, CarriedState::Stack& stack)
{
    format::HistoryPoint point{};
    read_list(from, stack.points, [&](format::HistoryPoint& next) {
        from.get_point(point);
        next = point;
    });
}

// Not in version 3.1.
void read_history(CarriedDecoder& from, CarriedState& state)
{
    for (CarriedState::Stack& stack : state.stacks)
        read_list(from, stack.lifetimes, [&](auto& lifetime) {
            lifetime.first = from.get32();
            lifetime.second = from.get();
            if (lifetime.first >= format::kLifetimeBuckets) from.refuse();
        });
    state.history_tick_log2 = from.get32();
    if (state.history_tick_log2 > 60) from.refuse();
    uint64_t accounts = from.get_count();
    const uint64_t numbers = from.get(); // of each
    for (; accounts > 0 && from.is_sound(); --accounts)
        read_totals(from, numbers, format::kCarriedProcessNumbers, state.process.emplace_back().totals);
    for (CarriedState::Stack& account : state.process) read_points(from, account);
    for (CarriedState::Stack& stack : state.stacks) read_points(from, stack);
}

void read_blocks(CarriedDecoder& from, CarriedState& state, std::vector<CarriedBlock>& blocks, bool in_order)
{
    CarriedBlock before;
    read_list(from, blocks, [&](CarriedBlock& block) {
        block = from.get_block(in_order ? before : CarriedBlock{});
        if (block.stack >= state.nodes.size()) from.refuse();
        before = block;
    });
}

void read_streams(CarriedDecoder& from, CarriedState& state)
{
    read_list(from, state.streams, [&](CarriedState::Stream& stream) {
        stream.thread = from.get32();
        stream.level = from.get32();
        stream.sequence = from.get();
        stream.events = from.get32();
        const uint64_t pending = from.get();
        stream.last_was_realloc_release = (pending & 1) != 0;
        for (uint64_t left = pending >> 1; left > 0 && from.is_sound(); --left) {
            const uint64_t flags = from.get();
            CarriedState::Pending& one = stream.pending.emplace_back();
            one.mismatched = (flags & 2) != 0;
            one.valid = (flags & 1) != 0;
            if ((flags & 4) != 0)
                one.block = from.get_block({});
            else
                one.block.address = from.get();
            if ((flags & 8) != 0) one.released = from.get();
            if (one.block.stack >= state.nodes.size()) from.refuse();
        }
        if (stream.last_was_realloc_release && stream.pending.empty()) from.refuse();
    });
    read_list(from, state.unmapped, [&](auto& unmapped) {
        unmapped.first = from.get32();
        unmapped.second = from.get_block({});
        if (unmapped.first >= state.streams.size() || unmapped.second.stack >= state.nodes.size()) from.refuse();
    });
}

void read_threads(CarriedDecoder& from, CarriedState& state, uint16_t version_minor)
{
    if (version_minor >= 5)
        return read_list(from, state.last_allocation, [&](CarriedState::LastAllocation& last) {
            last.thread = from.get32();
            last.address = from.get();
        });
    // Of each thread, by index.
    const uint64_t count = from.get_count();
    for (; state.threads < count && from.is_sound(); ++state.threads)
        if (const uint64_t address = from.get(); address != 0)
            state.last_allocation.push_back({static_cast<uint32_t>(state.threads), address});
}

void read_forgotten(CarriedDecoder& from, CarriedState& state)
{
    uint64_t end = 0; // of the run before
    for (uint64_t left = from.get_count(); left > 0 && from.is_sound(); --left) {
        const uint64_t first = end + from.get32();
        const uint64_t threads = from.get32();
        end = first + threads;
        if (threads == 0 || end > UINT32_MAX) return from.refuse();
        state.forgotten.add(static_cast<uint32_t>(first), static_cast<uint32_t>(threads));
    }
    state.forgotten_buffers = from.get();
}

void read_state(CarriedDecoder& from, CarriedState& state, const format::FileHeader& header)
{
    read_numbers(from, state.totals);
    read_numbers(from, state.events_by_kind);
    read_stacks(from, state);
    read_blocks(from, state, state.blocks, true);
    read_blocks(from, state, state.blocks, true);
    read_blocks(from, state, state.ranges, false);
    read_streams(from, state);
    read_threads(from, state, header.version_minor);
    read_list(from, state.mismatches, [&](CarriedState::Mismatch& mismatch) {
        mismatch.node = from.get32();
        mismatch.allocated_by = kind_of(from);
        mismatch.released_by = kind_of(from);
        mismatch.blocks = from.get();
        mismatch.bytes = from.get();
        if (mismatch.node >= state.nodes.size()) from.refuse();
    });
    read_list(from, state.unknown_releases, [&](CarriedState::Release& release) {
        release.address = from.get();
        release.thread = from.get32();
        release.kind = kind_of(from);
    });
    read_list(from, state.unknown_ranges, [&](CarriedState::Range& range) {
        range.address = from.get();
        range.bytes = from.get();
    });
    if (header.version_minor >= 2) {
        read_history(from, state);
        read_list(from, state.journal, [&](uint64_t& word) { word = from.get(); });
    }
    if (header.version_minor >= 5) read_forgotten(from, state);
    if (header.version_minor >= 6)
        read_list(from, state.latest_releases, [&](CarriedState::LatestRelease& release) {
            release.address = from.get();
            release.thread = from.get32();
            release.before = from.get();
        });
    // What follows is a newer version's.
}

} // namespace

std::optional<format::StateRef> carried_ref(const format::FileHeader& header)
{
    return holding_ref(header.carried, header.carried_index);
}

std::optional<CarriedState> read_carried(const FileReader& file, const format::FileHeader& header,
                                         std::vector<StatePart> parts, DamageLog& damage)
{
    const auto reference = carried_ref(header);
    if (!reference) return std::nullopt;
    const std::string lost = "blocks and totals from before it are unknown";
    const auto bytes = join_parts(file, *reference, std::move(parts), "the carried state", lost, damage);
    if (!bytes) return std::nullopt;
    CarriedState state;
    state.number = reference->number;
    state.stamp = reference->stamp;
    CarriedDecoder decoder(*bytes);
    read_state(decoder, state, header);
    if (decoder.is_sound()) return state;
    damage.add(format::kFileHeaderOffset, "the carried state is damaged: " + lost);
    return std::nullopt;
}

} // namespace leak::analyzer
