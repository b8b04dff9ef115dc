// The carried state: what the events were worth that were folded, because the ring needed their room.
//
// A stream of numbers. CarriedEncoder writes it, in the host; CarriedDecoder reads it. The order of the items is
// FORMAT.md's, section 8.
#pragma once

#include "format/event.hpp"
#include "format/number_stream.hpp"
#include "format/stack_accounts.hpp"

#include <cstdint>
#include <iterator>

namespace leak::format {

// A block or mapped range that was live when the last event was folded.
struct CarriedBlock {
    uint64_t address = 0;
    uint64_t bytes = 0;
    uint64_t stamp = 0;  // of its allocation
    uint32_t stack = 0;  // number of a stack node
    uint32_t thread = 0; // index
    EventKind kind = EventKind::none;
    uint8_t alignment_log2 = 0;
    bool truncated = false; // the stack
};

// How many numbers there are of each: a reader takes what it knows and skips the rest.
enum class CarriedTotal : uint32_t {
    allocations,
    releases,
    allocated_bytes,
    live_bytes,
    peak_bytes,
    peak_stamp,
    temporary_allocations,
    unmatched_releases,
    replaced_blocks,
    mismatches,
    peak_mapped_bytes,
    last_stamp,         // of the last event that was folded
    unlisted_blocks,    // known by their stacks alone, because the ring had no room for each
    unlisted_max_bytes, // the largest of them
    unlisted_releases,  // since then, of addresses that are not known: perhaps theirs
    count,
};
inline constexpr uint32_t kCarriedTotals = static_cast<uint32_t>(CarriedTotal::count);

// What the state says of each stack, in this order; a reader takes what it knows and skips the rest. Blocks and bytes
// that are live are those of the lists of live blocks and ranges.
inline constexpr uint64_t StackTotals::* kCarriedStackNumbers[] = {
    &StackTotals::allocations,         &StackTotals::allocated_bytes,       &StackTotals::releases,
    &StackTotals::released_bytes,      &StackTotals::temporary_allocations, &StackTotals::peak_bytes,
    &StackTotals::unlisted_blocks,     &StackTotals::unlisted_bytes,        &StackTotals::unlisted_first_stamp,
    &StackTotals::unlisted_last_stamp, &StackTotals::unlisted_kind};
// Behind them: StackTotals::changed.
inline constexpr uint64_t kCarriedStackNumberCount = std::size(kCarriedStackNumbers) + 1;

// The same of the accounts of the whole process.
inline constexpr uint64_t StackTotals::* kCarriedProcessNumbers[] = {&StackTotals::allocations,
                                                                     &StackTotals::allocated_bytes,
                                                                     &StackTotals::releases,
                                                                     &StackTotals::released_bytes,
                                                                     &StackTotals::temporary_allocations,
                                                                     &StackTotals::peak_bytes,
                                                                     &StackTotals::live_blocks,
                                                                     &StackTotals::live_bytes};
inline constexpr uint64_t kCarriedProcessNumberCount = std::size(kCarriedProcessNumbers) + 1;

// Adds what the carried state alone has.
template <typename Sink> class CarriedEncoder : public NumberEncoder<Sink> {
public:
    using NumberEncoder<Sink>::NumberEncoder;

    // The blocks of a list in turn; `before` is the one before, or an empty one. Stamps don't decrease.
    void put_block(const CarriedBlock& block, const CarriedBlock& before) noexcept
    {
        this->put(block.stamp - before.stamp);
        this->put(zigzag(static_cast<int64_t>(block.address - before.address)));
        this->put(block.bytes);
        this->put(uint64_t{block.stack} << 1 | (block.truncated ? 1 : 0));
        this->put(block.thread);
        this->put(uint64_t{static_cast<uint8_t>(block.kind)} << 1 | (block.alignment_log2 != 0 ? 1 : 0));
        if (block.alignment_log2 != 0) this->put(block.alignment_log2);
    }

    // The points of an account in turn; `before` is the one before, or an empty one.
    void put_point(const HistoryPoint& point, const HistoryPoint& before) noexcept
    {
        this->put_all(point.tick - before.tick, zigzag(static_cast<int64_t>(point.live_bytes - before.live_bytes)),
                      zigzag(static_cast<int64_t>(point.live_blocks - before.live_blocks)),
                      point.allocated_bytes - before.allocated_bytes, point.events - before.events);
    }
};

template <typename Sink> CarriedEncoder(std::span<std::byte>, Sink&) -> CarriedEncoder<Sink>;

class CarriedDecoder : public NumberDecoder {
public:
    using NumberDecoder::NumberDecoder;

    [[nodiscard]] CarriedBlock get_block(const CarriedBlock& before) noexcept
    {
        CarriedBlock block;
        block.stamp = before.stamp + get();
        block.address = before.address + static_cast<uint64_t>(unzigzag(get()));
        block.bytes = get();
        const uint64_t stack = get();
        block.stack = narrow(stack >> 1);
        block.truncated = (stack & 1) != 0;
        block.thread = narrow(get());
        const uint64_t kind = get();
        block.kind = static_cast<EventKind>(kind >> 1 & kOpKindMask);
        if (kind >> 1 > kOpKindMask || !has_stack(block.kind)) refuse();
        if ((kind & 1) != 0) block.alignment_log2 = static_cast<uint8_t>(get());
        return block;
    }
    // The next point of an account.
    void get_point(HistoryPoint& point) noexcept
    {
        point.tick = narrow(uint64_t{point.tick} + get());
        point.live_bytes += static_cast<uint64_t>(unzigzag(get()));
        point.live_blocks += static_cast<uint64_t>(unzigzag(get()));
        point.allocated_bytes += get();
        point.events += get();
    }
};

} // namespace leak::format
