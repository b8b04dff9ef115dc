#include "tests/unit/event_rows.hpp"

#include <doctest/doctest.h>

#include <cstring>
#include <initializer_list>
#include <string>

using namespace leak::format;
using namespace leak::test;

namespace {

void check_same(const EventFields& read, const EventFields& written)
{
    REQUIRE(read.kind == written.kind);
    REQUIRE(read.stamp == written.stamp);
    REQUIRE(read.address == written.address);
    REQUIRE(read.size == written.size);
    REQUIRE(read.extra == written.extra);
    if (!has_stack(written.kind)) return;
    REQUIRE(read.stack.truncated == written.stack.truncated);
    REQUIRE(read.stack.pop_count == written.stack.pop_count);
    REQUIRE(read.stack.push_count == written.stack.push_count);
    for (uint32_t i = 0; i < read.stack.push_count; ++i)
        REQUIRE(read.stack.pushed_pc_ids[i] == written.stack.pushed_pc_ids[i]);
}

// What a reader says to rows of these words.
std::string fault_of(const std::vector<std::byte>& rows, uint32_t count)
{
    RowReader reader(rows, count, 100);
    RowReader::Ids ids;
    EventFields event;
    while (reader.rows_left() != 0)
        if (const char* fault = reader.next(event, ids)) return fault;
    return "";
}

template <typename... Values> std::vector<std::byte> bytes_of(Values... values)
{
    std::vector<std::byte> bytes;
    const auto append = [&bytes](const auto& value) {
        const auto part = std::as_bytes(std::span(&value, 1));
        bytes.insert(bytes.end(), part.begin(), part.end());
    };
    (append(values), ...);
    return bytes;
}

constexpr uint64_t kMalloc = static_cast<uint8_t>(EventKind::malloc_);
constexpr uint64_t kFree = static_cast<uint8_t>(EventKind::free_);

} // namespace

TEST_CASE("rows read back as they were appended")
{
    for (unsigned seed = 0; seed < 50; ++seed) {
        std::mt19937_64 random(seed);
        const uint64_t base = random() >> 8;
        RowBuffer buffer(base);
        const std::vector<OwnedEvent> written = fill_randomly(buffer, random, base);
        REQUIRE(buffer.count() == written.size());
        CHECK(written.size() > 1'000);
        RowReader reader = buffer.reader();
        RowReader::Ids ids;
        EventFields read;
        for (const OwnedEvent& event : written) {
            REQUIRE(reader.next(read, ids) == nullptr);
            check_same(read, event.fields);
        }
        CHECK(reader.rows_left() == 0);
    }
}

TEST_CASE("the header of a buffer says where it stands in its stream")
{
    RowBuffer buffer(1000);
    EventFields event;
    event.kind = EventKind::free_;
    event.stamp = 1234;
    buffer.writer.append(event);
    CHECK(buffer.header().thread_index == RowBuffer::kThread);
    CHECK(buffer.header().level == RowBuffer::kLevel);
    CHECK(buffer.header().stream_sequence == RowBuffer::kSequence);
    CHECK(buffer.header().base_stamp == 1000);
    CHECK(buffer.count() == 1);
    CHECK(rows_end(buffer.header().written) == sizeof(RawBufferHeader) + kMinRowBytes);
}

TEST_CASE("a stamp that runs backwards is raised to the last one")
{
    RowBuffer buffer(1000);
    EventFields event;
    event.kind = EventKind::free_;
    for (const uint64_t stamp : std::initializer_list<uint64_t>{2000, 1500, 999, 500'000, 3}) {
        event.stamp = stamp;
        buffer.writer.append(event);
    }
    RowReader reader = buffer.reader();
    RowReader::Ids ids;
    for (const uint64_t stamp : std::initializer_list<uint64_t>{2000, 2000, 2000, 500'000, 500'000}) {
        REQUIRE(reader.next(event, ids) == nullptr);
        CHECK(event.stamp == stamp);
    }
}

TEST_CASE("the usual free takes 8 bytes, the usual malloc 12 and 2 for each new frame, what is unusual 32 and 4")
{
    const auto row_bytes = [](EventFields event) {
        RowBuffer buffer(1000);
        event.stamp = event.stamp == 0 ? 1100 : event.stamp;
        buffer.writer.append(event);
        return buffer.rows().size();
    };
    constexpr uint64_t block = 0x7ffffffffff0; // the highest
    CHECK(row_bytes({.kind = EventKind::free_, .address = block}) == 8);
    CHECK(row_bytes({.kind = EventKind::munmap_, .address = block, .size = UINT16_MAX}) == 12);
    OwnedEvent deep;
    deep.fields = {.kind = EventKind::malloc_, .address = block, .size = 24};
    deep.push({1, 2, UINT16_MAX});
    CHECK(row_bytes(deep.fields) == 18);
    deep.push({1, 2, UINT16_MAX + 1});
    CHECK(row_bytes(deep.fields) == 44);
    deep.push(std::vector<uint32_t>(UINT8_MAX, 7));
    CHECK(row_bytes(deep.fields) == 12 + 2 * UINT8_MAX);
    deep.push(std::vector<uint32_t>(UINT8_MAX + 1, 7));
    CHECK(row_bytes(deep.fields) == 32 + 4 * (UINT8_MAX + 1));
    CHECK(row_bytes({.kind = EventKind::memalign_, .address = block, .size = 1, .extra = 1}) == 32);
    CHECK(row_bytes({.kind = EventKind::malloc_, .address = block, .size = UINT16_MAX + 1}) == 32);
    CHECK(row_bytes({.kind = EventKind::free_, .stamp = 1000 + 8191, .address = block}) == 8);
    CHECK(row_bytes({.kind = EventKind::free_, .stamp = 1000 + 8192, .address = block}) == 32);
    CHECK(row_bytes({.kind = EventKind::free_, .address = block + 16}) == 32);
    CHECK(row_bytes({.kind = EventKind::free_, .address = block + 1}) == 32);
}

TEST_CASE("a full buffer is never written over its end, whatever the events are")
{
    for (const uint32_t pushes : {0u, 1u, 2u, 3u, 4u, 5u, kMaxStackDepth}) {
        for (const bool wide : {false, true}) {
            constexpr uint32_t bytes = 16 * 1024;
            RowBuffer buffer(0, bytes);
            buffer.memory.resize(buffer.memory.size() + 8, 0x5555555555555555u);
            buffer.memory.shrink_to_fit();
            buffer.header().frame = make_frame(FrameKind::raw_events, bytes);
            buffer.writer.begin(buffer.header(), 0, 0, 0, 0);
            OwnedEvent event;
            event.fields = {.kind = EventKind::malloc_, .address = wide ? UINT64_MAX : 0, .size = 1, .extra = 63};
            event.push(std::vector<uint32_t>(pushes, UINT32_MAX));
            uint32_t count = 0;
            for (; buffer.writer.has_room(pushes); ++count) {
                event.fields.stack.pop_count = count == 0 ? 0 : pushes;
                buffer.writer.append(event.fields);
            }
            CHECK(buffer.count() == count);
            CHECK(rows_end(buffer.header().written) <= bytes);
            CHECK(rows_end(buffer.header().written) + pushes * 4 + 64 + RowWriter::spare_bytes(bytes) >
                  bytes); // and it is used
            for (size_t i = bytes / 8; i < buffer.memory.size(); ++i) CHECK(buffer.memory[i] == 0x5555555555555555u);
        }
    }
}

TEST_CASE("rows are read up to one that is later than the last one is known to be")
{
    for (const uint64_t address : {uint64_t{0x1000}, UINT64_MAX}) { // narrow rows, and wide ones
        RowBuffer buffer(100);
        for (uint64_t i = 0; i < 50; ++i)
            buffer.writer.append({.kind = EventKind::free_, .stamp = 100 + i * 10, .address = address});
        CHECK(buffer.writer.last_stamp() == 590);
        for (const uint32_t readable : {0u, 1u, 30u, 50u}) {
            RowReader reader(buffer.rows(), buffer.count(), 100, 99 + readable * uint64_t{10});
            RowReader::Ids ids;
            RowReader::Narrow row{};
            EventFields event;
            while (reader.rows_left() != 0 && (reader.next_narrow(row) || reader.next(event, ids) == nullptr)) {}
            CHECK(reader.rows_left() == 50 - readable);
        }
    }
}

TEST_CASE("a writer that has left its buffer has no room")
{
    RowBuffer buffer;
    RowWriter none;
    CHECK_FALSE(none.has_room(0));
    CHECK(buffer.writer.has_room(0));
    buffer.writer.detach();
    CHECK_FALSE(buffer.writer.has_room(0));
}

TEST_CASE("the smallest buffer holds an event with the deepest stack")
{
    for (const uint32_t depth : {1u, 2u, 255u, 256u, 1023u, kMaxStackDepth}) {
        const auto bytes = static_cast<uint32_t>(align8(RowWriter::least_bytes(depth)));
        RowBuffer buffer(0, bytes);
        CHECK(buffer.writer.has_room(depth));
        CHECK_FALSE(buffer.writer.has_room(depth + 2));
        OwnedEvent event;
        event.fields = {.kind = EventKind::malloc_, .address = UINT64_MAX, .size = UINT64_MAX, .extra = 63};
        event.push(std::vector<uint32_t>(depth, UINT32_MAX));
        buffer.writer.append(event.fields);
        CHECK(buffer.count() == 1);
        CHECK(rows_end(buffer.header().written) <= bytes);
    }
}

TEST_CASE("a writer whose buffer was called back has no room until it begins another")
{
    RowBuffer buffer;
    buffer.writer.recall();
    CHECK_FALSE(buffer.writer.has_room(0));
    buffer.writer.begin(buffer.header(), 0, 0, 0, 0);
    CHECK(buffer.writer.has_room(0));
}

TEST_CASE("rows that are cut anywhere give an error and never more events than there are")
{
    std::mt19937_64 random(9);
    RowBuffer buffer;
    uint32_t depth = 0;
    uint64_t stamp = 0;
    for (unsigned i = 0; i < 40; ++i) {
        const OwnedEvent event = random_event(random, stamp, depth);
        buffer.writer.append(event.fields);
        stamp = event.fields.stamp;
    }
    RowReader::Ids ids;
    for (size_t bytes = 0; bytes < buffer.rows().size(); bytes += 2) {
        RowReader reader(buffer.rows().first(bytes), 40, 0);
        EventFields event;
        const char* fault = nullptr;
        while (fault == nullptr) fault = reader.next(event, ids);
        CHECK(std::string(fault) == "an event row ends early");
        CHECK(reader.rows_left() > 0);
    }
}

TEST_CASE("rows that no hook makes are refused")
{
    constexpr uint64_t wide = kRowWide;
    const auto stack = [](uint8_t pops, uint8_t pushes) { return RowSize{1, pops, pushes}; };
    constexpr uint16_t id = 5;
    CHECK(fault_of(bytes_of(kFree), 1).empty());
    CHECK(fault_of(bytes_of(kMalloc, stack(0, 1), id), 1).empty());
    CHECK(fault_of(bytes_of(uint64_t{0}), 1) == "unknown event kind");
    CHECK(fault_of(bytes_of(uint64_t{30}), 1) == "unknown event kind");
    CHECK(fault_of(bytes_of(kFree | kOpSameStack), 1) == "an event row has an unknown flag");
    CHECK(fault_of(bytes_of(kFree), 2) == "an event row ends early");
    CHECK(fault_of(bytes_of(kMalloc), 1) == "an event row ends early");
    CHECK(fault_of(bytes_of(kMalloc, stack(0, 2), id), 1) == "an event row ends early");
    CHECK(fault_of(bytes_of(kMalloc, stack(1, 0)), 1) == "a stack pops more frames than there are");
    CHECK(fault_of(bytes_of(kMalloc, stack(0, 1), id, kMalloc, stack(1, 0)), 2).empty());
    CHECK(fault_of(bytes_of(kMalloc, stack(0, 1), id, kMalloc, stack(2, 0)), 2) ==
          "a stack pops more frames than there are");
    CHECK(fault_of(bytes_of(kFree | wide, uint64_t{99}, uint64_t{0}, uint64_t{0}), 1) ==
          "an event is earlier than the one before");
    CHECK(fault_of(bytes_of(kFree | wide, uint64_t{100}, uint64_t{0}), 1) == "an event row ends early");
    std::vector<std::byte> deep =
        bytes_of(kMalloc | wide | uint64_t{kMaxStackDepth} << 32, uint64_t{100}, uint64_t{0}, uint64_t{0});
    deep.resize(deep.size() + kMaxStackDepth * sizeof(uint32_t));
    CHECK(fault_of(deep, 1).empty());
    const std::vector<std::byte> one_more = bytes_of(kMalloc, stack(0, 1), id);
    deep.insert(deep.end(), one_more.begin(), one_more.end());
    CHECK(fault_of(deep, 2) == "a stack is deeper than the format allows");
}
