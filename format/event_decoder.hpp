// Reads events back from the columns of one buffer or chunk; the inverse of event_encoder.hpp.
//
// Trusts nothing: every read is bounded and every value checked. One decoder per buffer, any thread. Memory: 8 bytes an
// event and 4 a stack.
#pragma once

#include "format/address_code.hpp"
#include "format/event.hpp"
#include "format/layout.hpp"
#include "format/varint.hpp"

#include <array>
#include <expected>
#include <span>
#include <vector>

namespace leak::format {

struct DecodedEvent {
    EventKind kind = EventKind::none;
    bool truncated = false;
    uint64_t stamp = 0;
    uint64_t address = 0;
    uint64_t size = 0; // bytes; 0 unless has_size(kind)
    uint8_t extra = 0; // log2 of the alignment (0: the default), or kMap... flags
    // Where has_stack(kind): either the number of the stack, or the change from the stack of the previous event with a
    // stack in this buffer (empty at its start), outer to inner; a change that is coded in the stack column, be it
    // none, gives the stack the next number. `pushed` is valid until the next call of next().
    static constexpr uint32_t kNoNumber = UINT32_MAX;
    uint32_t stack_number = kNoNumber;
    bool has_change = false;
    uint32_t pop_count = 0;
    std::span<const uint32_t> pushed;
};

// What was wrong, in words that fit behind "offset N: ".
struct DecodeError {
    const char* what;
};

// Words, HalfWords: growing arrays of uint64_t and uint32_t, like std::vector.
template <typename Words, typename HalfWords> class BasicEventDecoder {
public:
    using Columns = std::array<std::span<const uint8_t>, kColumnCount>;

    // event_count: at most one for each byte of the op column. version_major: of the trace.
    BasicEventDecoder(const Columns& columns, uint64_t base_stamp, uint32_t event_count, uint16_t version_major)
        : stamp_(base_stamp), addresses_(version_major, event_count), numbers_stacks_(version_major >= 2),
          left_(event_count)
    {
        for (uint32_t c = 0; c < kColumnCount; ++c) {
            at_[c] = columns[c].data();
            end_[c] = columns[c].data() + columns[c].size();
        }
    }

    [[nodiscard]] uint32_t events_left() const noexcept { return left_; }
    [[nodiscard]] uint32_t stack_depth() const noexcept { return depth_; }

    // Fills `event` with the next event; needs events_left() > 0.
    [[nodiscard]] std::expected<void, DecodeError> next(DecodedEvent& event)
    {
        const auto bad = [](const char* what) { return std::unexpected(DecodeError{what}); };
        uint8_t op = 0;
        if (!get_byte(Column::op, op)) return bad("event column ends early");
        event.kind = static_cast<EventKind>(op & kOpKindMask);
        if (event.kind == EventKind::none || static_cast<uint8_t>(event.kind) >= kEventKindCount)
            return bad("unknown event kind");
        uint64_t delta = 0;
        if (!get(Column::stamp, delta)) return bad("stamp column is damaged");
        stamp_ += delta;
        event.stamp = stamp_;
        if (!addresses_.get(at_[index(Column::address)], end_[index(Column::address)], event.address))
            return bad("address column is damaged");
        event.size = 0;
        if (has_size(event.kind) && !get(Column::size, event.size)) return bad("size column is damaged");
        event.extra = 0;
        if ((op & kOpExtra) != 0 && !get_byte(Column::extra, event.extra)) return bad("extra column ends early");
        event.truncated = (op & kOpTruncated) != 0;
        event.stack_number = DecodedEvent::kNoNumber;
        event.has_change = false;
        event.pop_count = 0;
        event.pushed = {};
        if (has_stack(event.kind) && (op & kOpSameStack) == 0)
            if (const char* what = read_stack(event)) return bad(what);
        --left_;
        return {};
    }

private:
    [[nodiscard]] static constexpr uint32_t index(Column column) noexcept { return static_cast<uint32_t>(column); }

    [[nodiscard]] bool get(Column column, uint64_t& value) noexcept
    {
        return get_varint(at_[index(column)], end_[index(column)], value);
    }
    [[nodiscard]] bool get_byte(Column column, uint8_t& value) noexcept
    {
        const uint8_t*& at = at_[index(column)];
        if (at == end_[index(column)]) return false;
        value = *at++;
        return true;
    }

    // nullptr, or what is wrong.
    [[nodiscard]] const char* read_stack(DecodedEvent& event) noexcept
    {
        uint64_t pops = 0;
        uint64_t pushes = 0;
        if (!get(Column::stack, pops)) return "stack column is damaged";
        if (numbers_stacks_) {
            const bool is_number = (pops & 1) != 0;
            pops >>= 1;
            if (is_number) {
                if (pops >= depths_.size()) return "an event has a stack that no event before it had";
                event.stack_number = static_cast<uint32_t>(pops);
                depth_ = depths_[pops];
                return nullptr;
            }
        }
        if (!get(Column::stack, pushes)) return "stack column is damaged";
        if (pops > depth_) return "a stack pops more frames than there are";
        depth_ -= static_cast<uint32_t>(pops);
        if (pushes > kMaxStackDepth - depth_) return "a stack is deeper than the format allows";
        for (uint64_t i = 0; i < pushes; ++i) {
            uint64_t pc_id = 0;
            if (!get(Column::pc, pc_id) || pc_id > UINT32_MAX) return "pc column is damaged";
            pushed_[i] = static_cast<uint32_t>(pc_id);
        }
        depth_ += static_cast<uint32_t>(pushes);
        if (numbers_stacks_) depths_.push_back(depth_);
        event.has_change = true;
        event.pop_count = static_cast<uint32_t>(pops);
        event.pushed = {pushed_.data(), static_cast<size_t>(pushes)};
        return nullptr;
    }

    std::array<const uint8_t*, kColumnCount> at_{};
    std::array<const uint8_t*, kColumnCount> end_{};
    uint64_t stamp_;
    AddressDecoder<Words> addresses_;
    bool numbers_stacks_;
    HalfWords depths_; // of the stacks that have numbers
    uint32_t left_;
    uint32_t depth_ = 0;
    std::array<uint32_t, kMaxStackDepth> pushed_{};
};

using EventDecoder = BasicEventDecoder<std::vector<uint64_t>, std::vector<uint32_t>>;

} // namespace leak::format
