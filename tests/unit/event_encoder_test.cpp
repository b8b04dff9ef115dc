#include "format/event_encoder.hpp"

#include "format/event_decoder.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <vector>

using namespace leak::format;

namespace {

constexpr uint32_t kDepth = 256;

struct Buffer {
    std::vector<uint64_t> memory = std::vector<uint64_t>(kRawBufferBytes / 8);
    EventEncoder encoder;

    explicit Buffer(uint64_t base_stamp = 0)
    {
        header().frame = make_frame(FrameKind::raw_events, kRawBufferBytes);
        encoder.begin(header(), 3, 1, 7, base_stamp, kDepth, kInitialShares);
    }
    RawBufferHeader& header() { return *reinterpret_cast<RawBufferHeader*>(memory.data()); }
    EventDecoder decoder()
    {
        EventDecoder::Columns columns;
        const auto* bytes = reinterpret_cast<const uint8_t*>(memory.data());
        for (uint32_t c = 0; c < kColumnCount; ++c)
            columns[c] = {bytes + header().column_begin[c], header().column_end[c] - header().column_begin[c]};
        return {columns, header().base_stamp, header().event_count, kVersionMajor};
    }
};

// An event whose fields are random but possible, after `previous`.
EventFields random_event(std::mt19937_64& random, uint64_t previous_stamp, uint32_t& depth, std::vector<uint32_t>& ids)
{
    EventFields event;
    event.kind = static_cast<EventKind>(1 + random() % (kEventKindCount - 1));
    event.stamp = previous_stamp + (random() >> (random() % 64)) % 1'000'000;
    event.address = random() >> (random() % 64);
    event.size = has_size(event.kind) ? random() >> (random() % 64) : 0;
    event.extra = random() % 4 == 0 ? static_cast<uint8_t>(random()) : uint8_t{0};
    if (!has_stack(event.kind)) return event;
    event.stack.pop_count = static_cast<uint32_t>(random() % (depth + 1));
    depth -= event.stack.pop_count;
    ids.resize(random() % 8 % (kDepth - depth + 1));
    for (uint32_t& id : ids) id = static_cast<uint32_t>(random() >> (32 + random() % 32));
    event.stack.push_count = static_cast<uint32_t>(ids.size());
    event.stack.pushed_pc_ids = ids.data();
    event.stack.truncated = random() % 2 == 0;
    depth += event.stack.push_count;
    return event;
}

void check_same(const DecodedEvent& read, const EventFields& written, const std::vector<uint32_t>& ids)
{
    REQUIRE(read.kind == written.kind);
    REQUIRE(read.stamp == written.stamp);
    REQUIRE(read.address == written.address);
    REQUIRE(read.size == written.size);
    REQUIRE(read.extra == written.extra);
    if (!has_stack(written.kind)) return;
    REQUIRE(read.truncated == written.stack.truncated);
    REQUIRE(read.pop_count == written.stack.pop_count);
    REQUIRE(std::vector<uint32_t>(read.pushed.begin(), read.pushed.end()) == ids);
}

} // namespace

TEST_CASE("random streams read back event by event")
{
    for (unsigned seed = 0; seed < 50; ++seed) {
        std::mt19937_64 random(seed);
        const uint64_t base = random() >> 8;
        Buffer buffer(base);
        std::vector<std::pair<EventFields, std::vector<uint32_t>>> written;
        uint32_t depth = 0;
        uint64_t stamp = base;
        while (buffer.encoder.has_room(8)) {
            std::vector<uint32_t> ids;
            EventFields event = random_event(random, stamp, depth, ids);
            buffer.encoder.append(event);
            stamp = event.stamp;
            written.emplace_back(event, ids);
        }
        REQUIRE(buffer.header().event_count == written.size());
        CHECK(written.size() > 500);
        EventDecoder decoder = buffer.decoder();
        DecodedEvent read;
        for (const auto& [event, ids] : written) {
            REQUIRE(decoder.next(read).has_value());
            check_same(read, event, ids);
        }
        CHECK(decoder.events_left() == 0);
    }
}

TEST_CASE("the header of a buffer says where it stands in its stream")
{
    Buffer buffer(1000);
    EventFields event;
    event.kind = EventKind::free_;
    event.stamp = 1234;
    buffer.encoder.append(event);
    CHECK(buffer.header().thread_index == 3);
    CHECK(buffer.header().level == 1);
    CHECK(buffer.header().stream_sequence == 7);
    CHECK(buffer.header().base_stamp == 1000);
    CHECK(buffer.header().last_stamp == 1234);
    CHECK(buffer.header().event_count == 1);
}

TEST_CASE("a stamp that runs backwards is raised to the last one")
{
    Buffer buffer(1000);
    EventFields event;
    event.kind = EventKind::free_;
    event.stamp = 2000;
    buffer.encoder.append(event);
    event.stamp = 1500;
    buffer.encoder.append(event);
    EventDecoder decoder = buffer.decoder();
    DecodedEvent read;
    REQUIRE(decoder.next(read).has_value());
    REQUIRE(decoder.next(read).has_value());
    CHECK(read.stamp == 2000);
}

TEST_CASE("a full buffer never writes over a column's end, whatever the events are")
{
    Buffer buffer;
    std::vector<uint32_t> ids(kDepth, UINT32_MAX);
    EventFields event;
    event.kind = EventKind::malloc_;
    event.size = UINT64_MAX;
    event.extra = 63;
    bool deep = false;
    while (buffer.encoder.has_room(kDepth)) {
        event.stack.pop_count = deep ? kDepth : 0;
        event.stack.push_count = kDepth;
        event.stack.pushed_pc_ids = ids.data();
        event.address = ~event.address + 12345;
        event.stamp += UINT64_MAX / 1000;
        buffer.encoder.append(event);
        deep = true;
    }
    CHECK(buffer.header().event_count > 10);
    for (uint32_t c = 0; c < kColumnCount; ++c)
        CHECK(buffer.header().column_end[c] <= buffer.header().column_begin[c + 1]);
}

TEST_CASE("columns that are cut anywhere give an error and never more events than there are")
{
    Buffer buffer;
    std::mt19937_64 random(9);
    uint32_t depth = 0;
    std::vector<std::vector<uint32_t>> ids(40);
    uint64_t stamp = 0;
    for (auto& pushed : ids) {
        const EventFields event = random_event(random, stamp, depth, pushed);
        buffer.encoder.append(event);
        stamp = event.stamp;
    }
    const RawBufferHeader whole = buffer.header();
    for (uint32_t c = 0; c < kColumnCount; ++c)
        for (uint32_t end = whole.column_begin[c]; end < whole.column_end[c]; ++end) {
            buffer.header().column_end[c] = end;
            EventDecoder decoder = buffer.decoder();
            DecodedEvent read;
            size_t count = 0;
            while (decoder.events_left() != 0 && decoder.next(read)) ++count;
            CHECK(count < ids.size());
            buffer.header().column_end[c] = whole.column_end[c];
        }
}

TEST_CASE("a stack that the buffer has is a number, and the next one is a difference from it")
{
    Buffer buffer;
    std::mt19937_64 random(3);
    std::vector<std::vector<uint32_t>> stacks(40); // the empty one too
    for (size_t i = 1; i < stacks.size(); ++i)
        for (size_t frame = 0; frame < 1 + i % 20; ++frame)
            stacks[i].push_back(static_cast<uint32_t>(random() % 4 == 0 ? random() : frame));
    std::vector<uint32_t> current;
    std::vector<size_t> taken;
    EventFields event;
    event.kind = EventKind::malloc_;
    for (unsigned n = 0; n < 2'000; ++n) {
        const size_t which = random() % stacks.size();
        const std::vector<uint32_t>& stack = stacks[which];
        const auto [old_end, new_end] = std::ranges::mismatch(current, stack);
        event.stack = {static_cast<uint32_t>(current.end() - old_end),
                       static_cast<uint32_t>(stack.end() - new_end),
                       stack.data() + (new_end - stack.begin()),
                       false,
                       static_cast<uint32_t>(stack.size()),
                       0};
        // now and then the writer does not know the hash
        if (random() % 50 != 0)
            for (const uint32_t id : stack) event.stack.hash = extend_stack_hash(event.stack.hash, id);
        REQUIRE(buffer.encoder.has_room(event.stack.push_count));
        buffer.encoder.append(event);
        current = stack;
        taken.push_back(which);
    }
    EventDecoder decoder = buffer.decoder();
    DecodedEvent read;
    std::vector<uint32_t> stack;
    std::vector<std::vector<uint32_t>> numbered;
    size_t by_number = 0;
    for (const size_t which : taken) {
        REQUIRE(decoder.next(read));
        if (read.stack_number != DecodedEvent::kNoNumber) {
            ++by_number;
            REQUIRE(read.stack_number < numbered.size());
            stack = numbered[read.stack_number];
        } else {
            REQUIRE(read.pop_count <= stack.size());
            stack.resize(stack.size() - read.pop_count);
            stack.insert(stack.end(), read.pushed.begin(), read.pushed.end());
            if (read.has_change) numbered.push_back(stack);
        }
        REQUIRE(stack == stacks[which]);
        REQUIRE(decoder.stack_depth() == stack.size());
    }
    CHECK(by_number > 1'500);
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
