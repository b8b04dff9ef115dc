// What a damaged trace may do: give a UserError or a result with the damage counted. Never crash, never run away.
#include "analyzer/replay/replay.hpp"

#include "analyzer/user_error.hpp"
#include "format/stored_frame.hpp"
#include "tests/unit/trace_builder.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <optional>
#include <random>
#include <vector>

using namespace leak::analyzer;
using namespace leak::test;
using enum leak::format::EventKind;

namespace {

constexpr uint64_t kEvents = 240;

// One slot with chunks-to-be and a raw buffer of each of two threads, and one slot with chunks.
std::vector<std::byte> small_trace()
{
    TraceBuilder builder(TraceLayout::compact());
    builder.process("/bin/app", "/tmp", {"app"});
    builder.module({.index = 1, .path = "/bin/app", .start = 0x400000, .end = 0x500000, .build_id = "12345678"});
    builder.thread(0, 10, "main");
    builder.thread(1, 11, "worker");
    builder.record(leak::format::RecordType::mark, 50, "load stop");
    const std::vector<uint32_t> pcs = {builder.pc(0x401000, 1), builder.pc(0x402000, 1), builder.pc(0x403000, 1)};
    for (uint64_t i = 0; i < kEvents; ++i) {
        const auto thread = static_cast<uint32_t>(i / 3 % 2);
        const uint64_t address = 0x10000 + i / 2 * 48;
        if (i % 2 == 0)
            builder.event(thread, {.kind = i % 16 == 0 ? new_ : malloc_,
                                   .stamp = i * 10,
                                   .address = address,
                                   .size = i,
                                   .stack = {pcs.begin(), pcs.begin() + static_cast<std::ptrdiff_t>(i % 4)},
                                   .extra = static_cast<uint8_t>(i % 5)});
        else
            builder.event(thread, {.kind = free_, .stamp = i * 10, .address = address});
        builder.stores_rows = i == 160;
        if (i == 80 || i == 160) builder.flush(thread);
    }
    return builder.image();
}

// Nothing when the file was refused.
std::optional<ReplayResult> read(const TempTrace& file)
{
    try {
        return replay_trace(file.path());
    } catch (const UserError&) {
        return std::nullopt;
    }
}

uint64_t events_in(const ReplayResult& result)
{
    uint64_t sum = 0;
    for (const uint64_t count : result.totals.events_by_kind) sum += count;
    return sum;
}

// The offsets at which `image` has something to damage: all but the middle of long runs of zeros.
std::vector<size_t> interesting_offsets(const std::vector<std::byte>& image)
{
    std::vector<size_t> offsets;
    size_t zeros = 0;
    for (size_t i = 0; i < image.size(); ++i) {
        zeros = image[i] == std::byte{0} ? zeros + 1 : 0;
        if (zeros < 64 || i % 61 == 0) offsets.push_back(i);
    }
    return offsets;
}

} // namespace

TEST_CASE("the undamaged trace of these tests is complete")
{
    const TempTrace file(small_trace());
    const auto result = read(file);
    REQUIRE(result);
    CHECK(result->info.complete);
    CHECK(events_in(*result) == kEvents);
    CHECK(result->unfreed.empty());
}

TEST_CASE("any one byte may be wrong")
{
    auto image = small_trace();
    const TempTrace file(image);
    size_t refused = 0;
    size_t worst_lost = 0;
    const auto offsets = interesting_offsets(image);
    for (const size_t offset : offsets) {
        for (const std::byte flip : {std::byte{0xff}, std::byte{0x01}}) {
            image[offset] ^= flip;
            file.replace(image);
            const auto result = read(file);
            image[offset] ^= flip;
            if (!result) {
                ++refused;
                continue;
            }
            const uint64_t events = events_in(*result);
            REQUIRE(events <= kEvents);
            worst_lost = std::max<size_t>(worst_lost, kEvents - events);
            // Events that are gone must be missed. (A raw buffer has no checksum: its count and state are believed.)
            const bool in_raw = offset >= TraceLayout::compact().raw_at && offset < leak::format::kMinSlotBytes;
            if (events < kEvents && !in_raw) {
                CAPTURE(offset);
                CHECK_FALSE(result->info.damage.empty());
                CHECK_FALSE(result->info.complete);
            }
        }
    }
    // Only the file header is so dear that a wrong byte in it costs the whole file.
    CHECK(refused <= 2 * sizeof(leak::format::FileHeader));
    // One wrong byte never takes more than a buffer and what shares its slot's chain of frames.
    CHECK(worst_lost <= kEvents / 2);
}

TEST_CASE("the file may end anywhere")
{
    const auto image = small_trace();
    const TempTrace file(image);
    uint64_t most = 0;
    std::vector<size_t> lengths = interesting_offsets(image);
    for (const size_t length : lengths) {
        file.replace(std::span(image).first(length));
        const auto result = read(file);
        if (!result) {
            CHECK(length < leak::format::kFileHeaderOffset + sizeof(leak::format::FileHeader));
            continue;
        }
        const uint64_t events = events_in(*result);
        REQUIRE(events >= most); // more file is never less trace
        most = events;
        if (length % leak::format::kMinSlotBytes != 0) CHECK_FALSE(result->info.damage.empty());
    }
    CHECK(most == kEvents);
}

TEST_CASE("a cut chunk is a gap of known size")
{
    TraceBuilder builder;
    for (uint64_t i = 1; i <= 1000; ++i)
        builder.event(0, {.kind = malloc_, .stamp = i, .address = i * 16, .size = i * 7919 % 1013});
    builder.flush(0);
    const auto image = builder.image();
    const TempTrace file(std::span<const std::byte>(image).first(leak::format::kSlotBytes + 64 + 500));
    const auto result = read(file);
    REQUIRE(result);
    CHECK(result->info.gap_events == 1000);
}

TEST_CASE("a chunk that does not decompress is a gap of known size, and the rest is read")
{
    for (const bool in_rows : {false, true}) {
        TraceBuilder builder;
        builder.stores_rows = in_rows;
        for (uint64_t i = 1; i <= 300; ++i) {
            builder.event(0, {.kind = malloc_, .stamp = i, .address = i * 16, .size = 1});
            if (i % 100 == 0) builder.flush(0);
        }
        auto image = builder.image();
        const size_t first_zstd = leak::format::kSlotBytes + 64 + sizeof(leak::format::EventChunkHeader);
        image[first_zstd + 20] ^= std::byte{0x40};
        const TempTrace file(image);
        const auto result = read(file);
        REQUIRE(result);
        CHECK(result->info.gap_events == 100);
        CHECK(events_in(*result) == 200);
        REQUIRE(result->info.damage.size() == 1);
        CHECK(result->info.damage[0].offset == leak::format::kSlotBytes + 64);
    }
}

TEST_CASE("a chunk of rows with a row that can't be is a gap of known size")
{
    TraceBuilder builder;
    builder.stores_rows = true;
    for (uint64_t i = 1; i <= 200; ++i) {
        builder.event(0, {.kind = malloc_, .stamp = i, .address = i * 16, .size = 1});
        if (i % 100 == 0) builder.flush(0);
    }
    auto image = builder.image();
    leak::format::EventChunkHeader header{};
    std::byte* const zstd = image.data() + leak::format::kSlotBytes + 64 + sizeof header;
    std::memcpy(&header, zstd - sizeof header, sizeof header);
    leak::format::StoredFrame frame;
    const std::span<std::byte> rows(zstd + frame.head.size(), header.column_bytes[0]);
    rows[40 * leak::format::kMinSizedRowBytes] = std::byte{0x7f}; // no kind of event
    frame = leak::format::StoredFrame(rows);
    std::ranges::copy(frame.tail, rows.end());
    const TempTrace file(image);
    const auto result = read(file);
    REQUIRE(result);
    CHECK(result->info.gap_events == 60);
    CHECK(events_in(*result) == 140);
    REQUIRE(result->info.damage.size() == 1);
    CHECK(result->info.damage[0].offset == leak::format::kSlotBytes + 64);
}

TEST_CASE("many wrong bytes at random")
{
    const auto good = small_trace();
    const TempTrace file(good);
    std::mt19937 random(11);
    for (unsigned round = 0; round < 3000; ++round) {
        auto image = good;
        const auto changes = 1 + random() % 40;
        for (size_t i = 0; i < changes; ++i) image[random() % image.size()] = static_cast<std::byte>(random());
        file.replace(image);
        if (const auto result = read(file)) CHECK(events_in(*result) <= 100'000);
    }
}
