#include "format/event_encoder.hpp"

#include "format/event_decoder.hpp"
#include "tests/unit/event_rows.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <random>
#include <vector>

using namespace leak::format;
using namespace leak::test;

namespace {

// The columns of a buffer's rows.
struct Coded {
    std::vector<std::byte> memory;
    std::unique_ptr<EventEncoder> encoder = std::make_unique<EventEncoder>();
    uint64_t base_stamp;
    const char* fault;

    explicit Coded(RowBuffer& buffer)
        : memory(EventEncoder::memory_bytes(kRawBufferBytes)), base_stamp(buffer.header().base_stamp)
    {
        encoder->begin(memory, kRawBufferBytes, base_stamp);
        fault = encoder->append_all(buffer.reader());
    }
    [[nodiscard]] EventDecoder::Columns columns() const
    {
        EventDecoder::Columns columns;
        for (uint32_t c = 0; c < kColumnCount; ++c) columns[c] = encoder->column(c);
        return columns;
    }
    [[nodiscard]] EventDecoder decoder() const
    {
        return {columns(), base_stamp, encoder->event_count(), kVersionMajor};
    }
};

// Follows the stacks of decoded events.
struct StackReader {
    std::vector<uint32_t> stack;
    std::vector<std::vector<uint32_t>> numbered;
    size_t by_number = 0;

    void apply(const DecodedEvent& read)
    {
        if (read.stack_number != DecodedEvent::kNoNumber) {
            ++by_number;
            REQUIRE(read.stack_number < numbered.size());
            stack = numbered[read.stack_number];
            return;
        }
        REQUIRE(read.pop_count <= stack.size());
        stack.resize(stack.size() - read.pop_count);
        stack.insert(stack.end(), read.pushed.begin(), read.pushed.end());
        if (read.has_change) numbered.push_back(stack);
    }
};

void apply(const StackDelta& delta, std::vector<uint32_t>& stack)
{
    stack.resize(stack.size() - delta.pop_count);
    stack.insert(stack.end(), delta.pushed_pc_ids, delta.pushed_pc_ids + delta.push_count);
}

} // namespace

TEST_CASE("random rows read back from their columns, event by event")
{
    for (unsigned seed = 0; seed < 50; ++seed) {
        std::mt19937_64 random(seed);
        const uint64_t base = random() >> 8;
        RowBuffer buffer(base);
        const std::vector<OwnedEvent> written = fill_randomly(buffer, random, base);
        const Coded coded(buffer);
        REQUIRE(coded.fault == nullptr);
        REQUIRE(coded.encoder->event_count() == written.size());
        CHECK(coded.encoder->last_stamp() == written.back().fields.stamp);
        EventDecoder decoder = coded.decoder();
        DecodedEvent read;
        StackReader stacks;
        std::vector<uint32_t> expected;
        for (const OwnedEvent& event : written) {
            REQUIRE(decoder.next(read).has_value());
            REQUIRE(read.kind == event.fields.kind);
            REQUIRE(read.stamp == event.fields.stamp);
            REQUIRE(read.address == event.fields.address);
            REQUIRE(read.size == event.fields.size);
            REQUIRE(read.extra == event.fields.extra);
            if (!has_stack(event.fields.kind)) continue;
            REQUIRE(read.truncated == event.fields.stack.truncated);
            stacks.apply(read);
            apply(event.fields.stack, expected);
            REQUIRE(stacks.stack == expected);
            REQUIRE(decoder.stack_depth() == expected.size());
        }
        CHECK(decoder.events_left() == 0);
    }
}

TEST_CASE("the columns of any buffer fit into the memory that they are given")
{
    OwnedEvent event;
    event.push({UINT32_MAX, UINT32_MAX, UINT32_MAX});
    for (const EventKind kind : {EventKind::malloc_, EventKind::munmap_, EventKind::free_}) {
        for (const bool wide : {false, true}) {
            RowBuffer buffer;
            event.fields.kind = kind;
            for (uint32_t i = 0; buffer.writer.has_room(3); ++i) {
                event.fields.stamp += wide ? UINT64_MAX / 10'000 : 8191;
                event.fields.address = i % 2 == 0 ? 0 : wide ? ~uint64_t{0} / 2 + i : (uint64_t{1} << 47) - 16;
                event.fields.size = wide ? UINT64_MAX : UINT32_MAX;
                event.fields.extra = has_size(kind) || wide ? 63 : 0;
                event.fields.stack.pop_count = i == 0 ? 0 : 3;
                event.fields.stack.push_count = 3;
                event.ids[0] = UINT32_MAX - i; // no stack comes twice
                buffer.writer.append(event.fields);
            }
            const Coded coded(buffer);
            CHECK(coded.fault == nullptr);
            for (uint32_t c = 0; c + 1 < kColumnCount; ++c)
                CHECK(coded.encoder->column(c).data() + coded.encoder->column(c).size() <=
                      coded.encoder->column(c + 1).data());
            const auto last = coded.encoder->column(kColumnCount - 1);
            CHECK(reinterpret_cast<const std::byte*>(last.data() + last.size()) <=
                  coded.memory.data() + coded.memory.size());
        }
    }
}

TEST_CASE("what lies before a damaged row is coded")
{
    for (unsigned damaged = 0; damaged < 40; ++damaged) {
        RowBuffer buffer;
        for (unsigned i = 0; i < 40; ++i)
            buffer.writer.append({.kind = EventKind::free_, .stamp = i, .address = i * 16});
        buffer.memory[sizeof(RawBufferHeader) / 8 + damaged] &= ~uint64_t{kOpKindMask};
        const Coded coded(buffer);
        CHECK(coded.fault != nullptr);
        CHECK(coded.encoder->event_count() == damaged);
        buffer.memory[sizeof(RawBufferHeader) / 8 + damaged] |= static_cast<uint8_t>(EventKind::free_) | kOpSameStack;
        const Coded flagged(buffer);
        CHECK(flagged.fault != nullptr);
        CHECK(flagged.encoder->event_count() == damaged);
    }
}

TEST_CASE("columns that are cut anywhere give an error and never more events than there are")
{
    std::mt19937_64 random(9);
    RowBuffer buffer;
    uint32_t depth = 0;
    uint64_t stamp = 0;
    constexpr size_t events = 40;
    for (size_t i = 0; i < events; ++i) {
        const OwnedEvent event = random_event(random, stamp, depth);
        buffer.writer.append(event.fields);
        stamp = event.fields.stamp;
    }
    const Coded coded(buffer);
    for (uint32_t c = 0; c < kColumnCount; ++c) {
        EventDecoder::Columns columns = coded.columns();
        for (size_t bytes = 0; bytes < coded.columns()[c].size(); ++bytes) {
            columns[c] = coded.columns()[c].first(bytes);
            EventDecoder decoder(columns, 0, events, kVersionMajor);
            DecodedEvent read;
            size_t count = 0;
            while (decoder.events_left() != 0 && decoder.next(read)) ++count;
            CHECK(count < events);
        }
    }
}

TEST_CASE("a stack that the buffer has is a number, and the next one is a difference from it")
{
    std::mt19937_64 random(3);
    std::vector<std::vector<uint32_t>> stacks(40); // the empty one too
    for (size_t i = 1; i < stacks.size(); ++i)
        for (size_t frame = 0; frame < 1 + i % 20; ++frame)
            stacks[i].push_back(static_cast<uint32_t>(random() % 4 == 0 ? random() : frame));
    RowBuffer buffer;
    std::vector<uint32_t> current;
    std::vector<size_t> taken;
    for (unsigned n = 0; n < 1'000; ++n) {
        const size_t which = random() % stacks.size();
        const std::vector<uint32_t>& stack = stacks[which];
        const auto [old_end, new_end] = std::ranges::mismatch(current, stack);
        OwnedEvent event;
        event.fields.kind = EventKind::malloc_;
        event.push({new_end, stack.end()});
        event.fields.stack.pop_count = static_cast<uint32_t>(current.end() - old_end);
        REQUIRE(buffer.writer.has_room(event.fields.stack.push_count));
        buffer.writer.append(event.fields);
        current = stack;
        taken.push_back(which);
    }
    const Coded coded(buffer);
    REQUIRE(coded.fault == nullptr);
    EventDecoder decoder = coded.decoder();
    DecodedEvent read;
    StackReader reader;
    for (const size_t which : taken) {
        REQUIRE(decoder.next(read));
        reader.apply(read);
        REQUIRE(reader.stack == stacks[which]);
        REQUIRE(decoder.stack_depth() == reader.stack.size());
    }
    CHECK(reader.by_number > 800);
}

TEST_CASE("a stack that pops more than there is, grows past the limit, or has a number that none has, is refused")
{
    const std::vector<uint8_t> op = {static_cast<uint8_t>(EventKind::malloc_)};
    const std::vector<uint8_t> zero = {0};
    const auto read_with = [&](const std::vector<uint8_t>& stack) {
        const EventDecoder::Columns columns = {op, zero, zero, zero, stack, zero, zero};
        EventDecoder decoder(columns, 0, 1, kVersionMajor);
        DecodedEvent event;
        return decoder.next(event).has_value();
    };
    CHECK(read_with({0, 1}));
    CHECK_FALSE(read_with({2, 0}));
    CHECK_FALSE(read_with({0, 0x81, 0x08})); // 1,025 frames
    CHECK_FALSE(read_with({0, 2}));          // the pc column has one id only
    CHECK_FALSE(read_with({1}));             // no stack has a number yet
}
