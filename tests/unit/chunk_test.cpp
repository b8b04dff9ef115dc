#include "format/chunk.hpp"

#include "format/checksum.hpp"
#include "tests/unit/event_rows.hpp"

#include <doctest/doctest.h>

#define ZSTD_STATIC_LINKING_ONLY // ZSTD_decompressBound
#include <zstd.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <numeric>
#include <vector>

using namespace leak::format;
using namespace leak::test;

namespace {

struct Compressor {
    std::vector<uint64_t> memory = std::vector<uint64_t>(ChunkCompressor::memory_bytes(3) / 8 + 1);
    ChunkCompressor compressor;
    Compressor() { REQUIRE(compressor.init(std::as_writable_bytes(std::span(memory)), 3)); }
};

struct Decompressing {
    std::vector<uint64_t> memory = std::vector<uint64_t>(Decompressor::memory_bytes() / sizeof(uint64_t));
    Decompressor decompressor;
    Decompressing() { REQUIRE(decompressor.init(std::as_writable_bytes(std::span(memory)))); }
};

// A raw buffer with `count` events of some variety.
RowBuffer make_buffer(uint32_t count)
{
    RowBuffer buffer(100);
    for (uint32_t i = 0; i < count && buffer.writer.has_room(1); ++i) {
        EventFields event;
        event.kind = i % 2 == 0 ? EventKind::malloc_ : EventKind::free_;
        event.stamp = 100 + i * 13;
        event.address = 0x1000 + i * i % 977 * 16;
        event.size = i % 300;
        buffer.writer.append(event);
    }
    return buffer;
}

// What `zstd -t` does with whole frames.
bool is_valid_zst(std::span<const std::byte> bytes)
{
    while (!bytes.empty()) {
        const size_t frame = ZSTD_findFrameCompressedSize(bytes.data(), bytes.size());
        if (ZSTD_isError(frame)) return false;
        if (!ZSTD_isSkippableFrame(bytes.data(), bytes.size())) {
            std::vector<std::byte> out(static_cast<size_t>(ZSTD_decompressBound(bytes.data(), frame)));
            if (ZSTD_isError(ZSTD_decompress(out.data(), out.size(), bytes.data(), frame))) return false;
        }
        bytes = bytes.subspan(frame);
    }
    return true;
}

std::vector<std::byte> in_one_piece(const ChunkFrames& frames)
{
    std::vector<std::byte> bytes;
    for (const auto piece : frames.pieces) bytes.insert(bytes.end(), piece.begin(), piece.end());
    return bytes;
}

std::vector<uint64_t> empty_slot()
{
    std::vector<uint64_t> slot(kSlotBytes / 8);
    SlotHeader header = {};
    header.frame = make_frame(FrameKind::slot, sizeof header);
    std::memcpy(slot.data(), &header, sizeof header);
    const PaddingHeader padding = make_padding(kSlotBytes - sizeof header);
    std::memcpy(reinterpret_cast<std::byte*>(slot.data()) + sizeof header, &padding, sizeof padding);
    return slot;
}

} // namespace

TEST_CASE("a chunk decompresses to the columns of its buffer")
{
    Compressor tool;
    Decompressing from;
    for (const uint32_t count : {0u, 1u, 100u, 100'000u}) {
        RowBuffer buffer = make_buffer(count);
        EventChunkHeader header = {};
        const auto compressed = tool.compressor.compress(buffer.header(), header);
        REQUIRE(!compressed.empty());
        CHECK(header.event_count == buffer.count());
        CHECK(header.stream_sequence == RowBuffer::kSequence);
        CHECK(header.last_stamp == 100 + (buffer.count() == 0 ? 0 : buffer.count() - 1) * 13);
        CHECK(header.checksum == LEAK_CHECKSUM_UP_TO(header, checksum));
        const size_t bytes = std::accumulate(std::begin(header.column_bytes), std::end(header.column_bytes), size_t{0});
        std::vector<std::byte> columns(bytes + 1); // never without memory
        REQUIRE(from.decompressor.decompress(compressed, std::span(columns).first(bytes)) == nullptr);
        std::vector<std::byte> encoder_memory(EventEncoder::memory_bytes(kRawBufferBytes));
        const auto encoder = std::make_unique<EventEncoder>();
        encoder->begin(encoder_memory, kRawBufferBytes, 100);
        REQUIRE(encoder->append_all(buffer.reader()) == nullptr);
        auto at = columns.begin();
        for (uint32_t c = 0; c < kColumnCount; ++c) {
            REQUIRE(encoder->column(c).size() == header.column_bytes[c]);
            CHECK(std::ranges::equal(std::as_bytes(encoder->column(c)), std::span(at, header.column_bytes[c])));
            at += header.column_bytes[c];
        }
    }
}

TEST_CASE("a chunk of rows holds the rows of its buffer")
{
    Compressor tool;
    Decompressing from;
    for (const uint32_t count : {1u, 2u, 100u, 100'000u}) {
        RowBuffer buffer = make_buffer(count);
        EventChunkHeader header = {};
        const auto stored = in_one_piece(tool.compressor.store(buffer.header(), buffer.writer.last_stamp(), header));
        CHECK(stored.size() == header.compressed_bytes);
        CHECK(header.frame.kind == FrameKind::event_rows);
        CHECK(header.event_count == buffer.count());
        CHECK(header.stream_sequence == RowBuffer::kSequence);
        CHECK(header.last_stamp == 100 + (buffer.count() - 1) * 13);
        CHECK(header.checksum == LEAK_CHECKSUM_UP_TO(header, checksum));
        CHECK(is_valid_zst(stored));
        std::vector<std::byte> rows(header.column_bytes[0]);
        REQUIRE(from.decompressor.decompress(stored, rows) == nullptr);
        CHECK(rows.size() == rows_end(buffer.header().written) - sizeof(RawBufferHeader));
        CHECK(std::memcmp(rows.data(), &buffer.header() + 1, rows.size()) == 0);
        rows[rows.size() / 2] ^= std::byte{1};
        std::vector<std::byte> damaged = stored;
        damaged[stored.size() / 2] ^= std::byte{1};
        CHECK(from.decompressor.decompress(damaged, rows) != nullptr);
    }
}

TEST_CASE("a buffer that somebody has written into gives the events before that, and nothing is read beyond it")
{
    Compressor tool;
    EventChunkHeader header = {};
    RowBuffer buffer = make_buffer(100'000);
    const uint64_t written = buffer.header().written;
    for (const uint64_t bad : {uint64_t{0}, UINT64_MAX, written | 0xffffffff, written & ~uint64_t{0xffffffff}}) {
        buffer.header().written = bad;
        REQUIRE(!tool.compressor.compress(buffer.header(), header).empty());
        CHECK(header.event_count <= row_count(written));
    }
    buffer.header().written = written;
    buffer.header().frame.content_bytes = UINT32_MAX;
    REQUIRE(!tool.compressor.compress(buffer.header(), header).empty());
    CHECK(header.event_count == row_count(written));
    buffer.memory[sizeof(RawBufferHeader) / 8 + 300] = 0;
    REQUIRE(!tool.compressor.compress(buffer.header(), header).empty());
    CHECK(header.event_count > 0);
    CHECK(header.event_count < 300);
    CHECK(header.last_stamp == 100 + (header.event_count - 1) * 13);
    buffer.memory[sizeof(RawBufferHeader) / 8] = 0;
    REQUIRE(!tool.compressor.compress(buffer.header(), header).empty());
    CHECK(header.event_count == 0);
}

TEST_CASE(
    "a buffer whose header somebody has written into is stored as a chunk that can be, and not read beyond its end")
{
    Compressor tool;
    EventChunkHeader header = {};
    RowBuffer buffer = make_buffer(100'000);
    const uint64_t last_stamp = buffer.writer.last_stamp();
    const uint64_t written = buffer.header().written;
    const auto check = [&] {
        const auto stored = in_one_piece(tool.compressor.store(buffer.header(), last_stamp, header));
        CHECK(is_valid_zst(stored));
        CHECK(header.column_bytes[0] <= kRawBufferBytes - sizeof(RawBufferHeader));
        CHECK(header.event_count <= header.column_bytes[0] / kMinRowBytes);
        CHECK(header.last_stamp >= header.base_stamp);
    };
    for (const uint64_t bad : {uint64_t{0}, UINT64_MAX, written | 0xffffffff, written & ~uint64_t{0xffffffff}}) {
        buffer.header().written = bad;
        check();
    }
    buffer.header().written = written;
    buffer.header().frame.content_bytes = UINT32_MAX;
    check();
    CHECK(header.event_count == row_count(written));
    buffer.header().base_stamp = UINT64_MAX;
    check();
}

TEST_CASE("a chunk with a wrong byte, or of another size than it says, is refused")
{
    Compressor tool;
    Decompressing from;
    RowBuffer buffer = make_buffer(50);
    EventChunkHeader header = {};
    const auto compressed = tool.compressor.compress(buffer.header(), header);
    const size_t bytes = std::accumulate(std::begin(header.column_bytes), std::end(header.column_bytes), size_t{0});
    std::vector<std::byte> columns(bytes);
    REQUIRE(from.decompressor.decompress(compressed, columns) == nullptr);
    for (size_t i = 0; i < compressed.size(); ++i) {
        std::vector<std::byte> damaged(compressed.begin(), compressed.end());
        damaged[i] ^= std::byte{0x10};
        // Some bits of a zstd frame mean nothing, such as the size of the window beyond what is needed.
        std::vector<std::byte> read(bytes);
        if (from.decompressor.decompress(damaged, read) == nullptr) CHECK(read == columns);
    }
    for (size_t cut = 0; cut < compressed.size(); ++cut)
        CHECK(from.decompressor.decompress(compressed.first(cut), columns) != nullptr);
    std::vector<std::byte> larger(bytes + 1);
    CHECK(from.decompressor.decompress(compressed, larger) != nullptr);
    std::vector<std::byte> smaller(bytes - 1);
    CHECK(from.decompressor.decompress(compressed, smaller) != nullptr);
}

TEST_CASE("a slot is a valid zstd file before, while and after a chunk is added")
{
    Compressor tool;
    std::vector<uint64_t> slot = empty_slot();
    auto* bytes = reinterpret_cast<std::byte*>(slot.data());
    const std::span<const std::byte> whole(bytes, kSlotBytes);
    uint64_t at = sizeof(SlotHeader);
    uint64_t room = kSlotBytes - at;
    REQUIRE(is_valid_zst(whole));
    for (uint32_t count = 10;; count += 500) {
        RowBuffer buffer = make_buffer(count);
        EventChunkHeader header = {};
        const auto compressed = tool.compressor.compress(buffer.header(), header);
        const uint64_t needed = chunk_bytes(header.compressed_bytes);
        if (needed != room && needed + kSkippablePrefixBytes > room) break;
        uint64_t before = 0;
        std::memcpy(&before, bytes + at, sizeof before);
        const uint64_t taken = append_chunk(bytes + at, room, header, compressed);
        REQUIRE(is_valid_zst(whole));
        // Everything stored but the last 8 bytes: what a reader sees in between, or after a kill.
        uint64_t after = 0;
        std::memcpy(&after, bytes + at, sizeof after);
        std::memcpy(bytes + at, &before, sizeof before);
        REQUIRE(is_valid_zst(whole));
        std::memcpy(bytes + at, &after, sizeof after);
        at += taken;
        room -= taken;
    }
    CHECK(at > kSlotBytes / 2);
}

TEST_CASE("a chunk may fill its slot to the last byte")
{
    Compressor tool;
    RowBuffer buffer = make_buffer(77);
    EventChunkHeader header = {};
    const auto compressed = tool.compressor.compress(buffer.header(), header);
    const uint64_t room = chunk_bytes(header.compressed_bytes);
    std::vector<uint64_t> place(room / 8 + 1, 0x5555555555555555u);
    auto* bytes = reinterpret_cast<std::byte*>(place.data());
    CHECK(append_chunk(bytes, room, header, compressed) == room);
    CHECK(is_valid_zst({bytes, room}));
    CHECK(place.back() == 0x5555555555555555u);
}
