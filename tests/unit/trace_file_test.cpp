#include "analyzer/decode/trace_file.hpp"

#include "analyzer/user_error.hpp"
#include "format/checksum.hpp"
#include "tests/unit/replay_helpers.hpp"

#include <doctest/doctest.h>

#include <cstring>
#include <vector>

using namespace leak::analyzer;
using namespace leak::test;
using enum leak::format::EventKind;

namespace {

void allocate(TraceBuilder& builder, uint32_t thread, uint64_t from, uint64_t to)
{
    for (uint64_t i = from; i < to; ++i)
        builder.event(thread, {.kind = malloc_, .stamp = i, .address = i * 64, .size = 8});
}

} // namespace

TEST_CASE("chunks and raw buffers of a stream make one sequence")
{
    TraceBuilder builder;
    allocate(builder, 0, 1, 100);
    builder.flush(0);
    allocate(builder, 0, 100, 200);
    builder.flush(0);
    allocate(builder, 0, 200, 300);
    const TempTrace file(builder.image());
    const TraceContents trace = open_trace(file.path());
    REQUIRE(trace.streams.size() == 1);
    REQUIRE(trace.streams[0].buffers.size() == 3);
    CHECK(trace.streams[0].buffers[0].raw_copy == kNoRawCopy);
    CHECK(trace.streams[0].buffers[2].raw_copy != kNoRawCopy);
    CHECK(trace.event_count == 299);
    CHECK(trace.damage.empty());
}

TEST_CASE("a buffer that is there raw and as a chunk counts once")
{
    TraceBuilder builder;
    builder.keep_flushed_raw = true;
    allocate(builder, 0, 1, 100);
    builder.flush(0);
    allocate(builder, 0, 100, 150);
    const ReplayResult result = replay(builder);
    CHECK(result.totals.allocations == 149);
    CHECK(result.totals.replaced_blocks == 0);
    CHECK(result.info.damage.empty());
}

TEST_CASE("a raw buffer that is free or being taken into use is not read")
{
    TraceBuilder builder;
    allocate(builder, 0, 1, 10);
    auto image = builder.image();
    leak::format::RawBufferHeader header = {};
    auto* at = image.data() + leak::format::kFirstRawOffset;
    std::memcpy(&header, at, sizeof header);
    const auto events_with = [&](leak::format::BufferState state, uint32_t generation) {
        header.state = state;
        header.generation = generation;
        std::memcpy(at, &header, sizeof header);
        const TempTrace file(image);
        return open_trace(file.path()).event_count;
    };
    CHECK(events_with(leak::format::BufferState::active, 2) == 9);
    CHECK(events_with(leak::format::BufferState::full, 4) == 9);
    CHECK(events_with(leak::format::BufferState::free, 2) == 0);
    CHECK(events_with(leak::format::BufferState::active, 3) == 0);
}

TEST_CASE("a buffer missing in the middle of a stream is damage of unknown size")
{
    TraceBuilder builder;
    allocate(builder, 3, 1, 100);
    builder.flush(3);
    allocate(builder, 3, 100, 200);
    builder.lose_buffer(3);
    allocate(builder, 3, 200, 300);
    const ReplayResult result = replay(builder);
    CHECK(result.totals.allocations == 199);
    REQUIRE(result.info.damage.size() == 1);
    CHECK(result.info.damage[0].what.find("thread 3: 1 event buffer(s)") != std::string::npos);
    CHECK_FALSE(result.info.complete);
}

TEST_CASE("the slot map says what each slot is for and how full it is")
{
    TraceBuilder builder;
    for (uint64_t i = 0; i < 200'000; ++i)
        builder.event(0, {.kind = malloc_, .stamp = i * i, .address = i * 0x9e3779b97f4a7c15u, .size = i * 977});
    auto image = builder.image();
    image.resize(image.size() + leak::format::kSlotBytes); // taken for later
    const TempTrace file(image);
    const TraceContents trace = open_trace(file.path());
    REQUIRE(trace.slots.size() > 2);
    CHECK(trace.unused_slots == 1);
    CHECK(trace.slots[0].kind == leak::format::SlotKind::start);
    uint64_t events = 0;
    for (const SlotInfo& slot : trace.slots) {
        CHECK(slot.header_sound);
        CHECK(slot.sequence != 0);
        CHECK(slot.used_bytes > 64);
        CHECK(slot.used_bytes <= leak::format::kSlotBytes);
        events += slot.events;
    }
    CHECK(events == 200'000);
}

TEST_CASE("a slot of another trace is not read")
{
    TraceBuilder builder;
    allocate(builder, 0, 1, 100);
    builder.flush(0);
    auto image = builder.image();
    leak::format::SlotHeader slot = {};
    auto* at = image.data() + leak::format::kSlotBytes;
    std::memcpy(&slot, at, sizeof slot);
    slot.trace_id ^= 1;
    slot.checksum = LEAK_CHECKSUM_UP_TO(slot, checksum);
    std::memcpy(at, &slot, sizeof slot);
    const TempTrace file(image);
    const TraceContents trace = open_trace(file.path());
    CHECK(trace.event_count == 0);
    CHECK(trace.slots[1].other_trace);
    CHECK(trace.damage.empty());
}

TEST_CASE("an unknown frame of a newer minor version is skipped if it may be and refused if not")
{
    const auto opens_with = [](uint16_t flags, uint16_t minor) {
        TraceBuilder builder;
        builder.header.version_minor = minor;
        auto image = builder.image();
        // in the padding behind the file header
        const auto frame = leak::format::make_frame(static_cast<leak::format::FrameKind>(40), 64, flags);
        const auto rest = leak::format::make_padding(leak::format::kOthersJournalOffset - 1024 - 64);
        const auto before = leak::format::make_padding(1024 - 64 - sizeof(leak::format::FileHeader));
        std::memcpy(image.data() + 64 + sizeof(leak::format::FileHeader), &before, sizeof before);
        std::memcpy(image.data() + 1024, &frame, sizeof frame);
        std::memcpy(image.data() + 1024 + 64, &rest, sizeof rest);
        const TempTrace file(image);
        return open_trace(file.path()).damage.entries().size();
    };
    CHECK(opens_with(leak::format::kIgnorable, leak::format::kVersionMinor + 1) == 0);
    CHECK_THROWS_AS(static_cast<void>(opens_with(0, leak::format::kVersionMinor + 1)), UserError);
    CHECK(opens_with(0, leak::format::kVersionMinor) == 1); // in our own version it can only be damage
}

TEST_CASE("pcs without an entry are unknown addresses, not errors")
{
    TraceBuilder builder;
    builder.event(0, {.kind = malloc_, .stamp = 1, .address = 0x1000, .size = 1, .stack = {99, UINT32_MAX}});
    const ReplayResult result = replay(builder);
    REQUIRE(result.unfreed.size() == 1);
    CHECK(result.stacks.frames(result.unfreed[0].stack) == std::vector<Pc>{Pc{}, Pc{}});
}

TEST_CASE("a module index that the journal does not name is no module")
{
    TraceBuilder builder;
    const uint32_t pc = builder.pc(0x5000, 77);
    builder.event(0, {.kind = malloc_, .stamp = 1, .address = 0x1000, .size = 1, .stack = {pc}});
    const ReplayResult result = replay(builder);
    CHECK(result.stacks.pc(result.unfreed.at(0).stack) == Pc{0x5000, ModuleId{}});
}
