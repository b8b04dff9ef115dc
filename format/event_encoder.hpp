// Codes the events of one buffer field by field in columns, which compress better than rows. The inverse:
// event_decoder.hpp.
//
// Whoever compresses a raw buffer, in the host or in a test, and a reader of rows. No allocation: the columns lie in
// memory of the caller's.
#pragma once

#include "format/address_code.hpp"
#include "format/event_rows.hpp"
#include "format/stack_code.hpp"
#include "format/varint.hpp"

#include <array>
#include <span>

namespace leak::format {

class EventEncoder {
public:
    // The memory that the columns of a raw buffer of so many bytes may take.
    [[nodiscard]] static constexpr size_t memory_bytes(size_t raw_bytes) noexcept
    {
        size_t all = 0;
        for (uint32_t c = 0; c < kColumnCount; ++c) all += most_bytes(c, raw_bytes);
        return all;
    }

    // Empties the columns. memory: memory_bytes() of a buffer of at most kMaxRawBufferBytes, kept by the caller.
    void begin(std::span<std::byte> memory, size_t raw_bytes, uint64_t base_stamp) noexcept
    {
        auto* at = reinterpret_cast<uint8_t*>(memory.data());
        for (uint32_t c = 0; c < kColumnCount; ++c) {
            begin_[c] = end_[c] = at;
            at += most_bytes(c, raw_bytes);
        }
        previous_stamp_ = base_stamp;
        event_count_ = 0;
        addresses_.begin();
        stacks_.begin();
    }

    // Codes all rows that are left. nullptr, or what is wrong with the first that can't be read.
    [[nodiscard]] const char* append_all(RowReader rows) noexcept
    {
        const char* fault = nullptr;
        while (rows.rows_left() != 0 && fault == nullptr) {
            append_narrow(rows);
            if (rows.rows_left() != 0) fault = append_next(rows);
        }
        return fault;
    }

    [[nodiscard]] uint32_t event_count() const noexcept { return event_count_; }
    [[nodiscard]] uint64_t last_stamp() const noexcept { return previous_stamp_; }
    [[nodiscard]] std::span<const uint8_t> column(uint32_t c) const noexcept { return {begin_[c], end_[c]}; }

private:
    [[nodiscard]] uint8_t*& end(Column column) noexcept { return end_[static_cast<uint32_t>(column)]; }

    // Codes the next row, whatever it is. nullptr, or what is wrong with it.
    [[nodiscard, gnu::noinline]] const char* append_next(RowReader& rows) noexcept
    {
        EventFields event;
        if (const char* fault = rows.next(event, ids_)) return fault;
        auto op = static_cast<uint8_t>(event.kind);
        if (has_stack(event.kind)) {
            const StackDelta& stack = event.stack;
            if (stack.truncated) op |= kOpTruncated;
            if (stack.same())
                op |= kOpSameStack;
            else
                append_stack(stack.pop_count, stack.push_count, stack.pushed_pc_ids, end(Column::stack),
                             end(Column::pc));
        }
        if (event.extra != 0) {
            op |= kOpExtra;
            *end(Column::extra)++ = event.extra;
        }
        *end(Column::op)++ = op;
        end(Column::stamp) = put_varint(end(Column::stamp), event.stamp - previous_stamp_);
        end(Column::address) = addresses_.put(end(Column::address), event.address, event_count_);
        if (has_size(event.kind)) end(Column::size) = put_varint(end(Column::size), event.size);
        previous_stamp_ = event.stamp;
        ++event_count_;
        return nullptr;
    }

    // Codes sound narrow rows as long as they come: all but a few. The writer's time is spent here, so everything that
    // changes from row to row is a local variable, of which a byte that is written can't be part for all that the
    // compiler knows, and what is unusual is left to append_next().
    void append_narrow(RowReader& all) noexcept
    {
        RowReader rows = all;
        if ((addresses_.previous() & 15) != 0) return;
        auto [op_at, stamp_at, address_at, size_at, stack_at, pc_at, extra_end] = end_;
        uint64_t previous_address = addresses_.previous();
        uint32_t index = event_count_;
        RowReader::Narrow row{};
        while (rows.next_narrow(row)) {
            auto op = static_cast<uint8_t>(row.kind());
            stamp_at = put_medium_varint(stamp_at, row.stamp_delta());
            const uint64_t address = row.address();
            address_at = put_varint(
                address_at,
                addresses_.code_of(address, AddressEncoder::distance_code(address, previous_address), index));
            previous_address = address;
            ++index;
            if (has_size(row.kind())) {
                size_at = put_medium_varint(size_at, row.sized.size);
                if (has_stack(row.kind())) {
                    op |= static_cast<uint8_t>(row.first & kOpTruncated);
                    if (row.has_same_stack())
                        op |= kOpSameStack;
                    else
                        append_stack(row.sized.pop_count, row.sized.push_count, row.pushed_pc_ids, stack_at, pc_at);
                }
            }
            *op_at++ = op;
        }
        end_ = {op_at, stamp_at, address_at, size_at, stack_at, pc_at, extra_end};
        addresses_.set_previous(previous_address);
        event_count_ = index;
        previous_stamp_ = rows.stamp();
        all = rows;
    }

    template <typename Id> [[gnu::always_inline]] void append_stack(uint32_t pop_count, uint32_t push_count,
                                                                    const Id* pushed_pc_ids, uint8_t*& stack_at,
                                                                    uint8_t*& pc_at) noexcept
    {
        if (const uint32_t number = stacks_.number_of(pop_count, push_count, pushed_pc_ids); number != SeenStacks::kNew)
            [[likely]] {
            stack_at = put_medium_varint(stack_at, uint64_t{number} << 1 | 1);
            return;
        }
        stack_at = put_small_varint(stack_at, uint64_t{pop_count} << 1);
        stack_at = put_small_varint(stack_at, push_count);
        for (uint32_t i = 0; i < push_count; ++i) pc_at = put_medium_varint(pc_at, pushed_pc_ids[i]);
    }

    // The most bytes that the rows of a buffer can become in a column, and what put_varint() writes over.
    [[nodiscard]] static constexpr size_t most_bytes(uint32_t column, size_t raw_bytes) noexcept
    {
        constexpr size_t kWrittenOver = 8;
        const size_t rows = raw_bytes / kMinRowBytes + 1;
        const size_t sized_rows = raw_bytes / kMinSizedRowBytes + 1;
        const size_t wide_rows = raw_bytes / kWideRowBytes + 1;
        switch (static_cast<Column>(column)) {
        case Column::op:
        case Column::extra:
            return rows + kWrittenOver;
        case Column::stamp:
            return rows * 2 + wide_rows * kMaxVarintBytes + kWrittenOver;
        case Column::address:
            return rows * kMaxAddressBytes + kWrittenOver;
        case Column::size:
            return sized_rows * 3 + wide_rows * kMaxVarintBytes + kWrittenOver;
        case Column::stack:
            return sized_rows * 4 + kWrittenOver;
        case Column::pc:
            return raw_bytes / sizeof(uint16_t) * 3 + kWrittenOver;
        }
        return 0;
    }

    std::array<uint8_t*, kColumnCount> begin_{};
    std::array<uint8_t*, kColumnCount> end_{}; // where the next byte of each column goes
    uint64_t previous_stamp_ = 0;
    uint32_t event_count_ = 0;
    AddressEncoder addresses_;
    SeenStacks stacks_;
    RowReader::Ids ids_; // of the event that append_next() codes
};

} // namespace leak::format
