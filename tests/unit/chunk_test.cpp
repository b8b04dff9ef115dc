#include "format/chunk.hpp"

#include "format/checksum.hpp"
#include "format/event_encoder.hpp"

#include <doctest/doctest.h>

#define ZSTD_STATIC_LINKING_ONLY // ZSTD_decompressBound
#include <zstd.h>

#include <cstring>
#include <numeric>
#include <vector>

using namespace leak::format;

namespace {

struct Compressor {
    std::vector<uint64_t> memory = std::vector<uint64_t>(ChunkCompressor::memory_bytes(3) / 8 + 1);
    ChunkCompressor compressor;
    Compressor() { REQUIRE(compressor.init(std::as_writable_bytes(std::span(memory)), 3)); }
};

// A raw buffer with `count` events of some variety.
std::vector<uint64_t> make_buffer(uint32_t count)
{
    std::vector<uint64_t> memory(kRawBufferBytes / 8);
    auto& header = *reinterpret_cast<RawBufferHeader*>(memory.data());
    header.frame = make_frame(FrameKind::raw_events, kRawBufferBytes);
    EventEncoder encoder;
    encoder.begin(header, 5, 0, 2, 100, 64, kInitialShares);
    for (uint32_t i = 0; i < count && encoder.has_room(1); ++i) {
        EventFields event;
        event.kind = i % 2 == 0 ? EventKind::malloc_ : EventKind::free_;
        event.stamp = 100 + i * 13;
        event.address = 0x1000 + i * i % 977 * 16;
        event.size = i % 300;
        encoder.append(event);
    }
    return memory;
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
    ChunkDecompressor decompressor;
    for (const uint32_t count : {0u, 1u, 100u, 100'000u}) {
        const std::vector<uint64_t> memory = make_buffer(count);
        const auto& raw = *reinterpret_cast<const RawBufferHeader*>(memory.data());
        EventChunkHeader header = {};
        const auto compressed = tool.compressor.compress(raw, header);
        REQUIRE(!compressed.empty());
        CHECK(header.event_count == raw.event_count);
        CHECK(header.stream_sequence == 2);
        CHECK(header.checksum == LEAK_CHECKSUM_UP_TO(header, checksum));
        const size_t bytes = std::accumulate(std::begin(header.column_bytes), std::end(header.column_bytes), size_t{0});
        std::vector<std::byte> columns(bytes + 1); // never without memory
        REQUIRE(decompressor.decompress(compressed, std::span(columns).first(bytes)).has_value());
        size_t at = 0;
        for (uint32_t c = 0; c < kColumnCount; ++c) {
            CHECK(std::memcmp(columns.data() + at,
                              reinterpret_cast<const std::byte*>(memory.data()) + raw.column_begin[c],
                              header.column_bytes[c]) == 0);
            at += header.column_bytes[c];
        }
    }
}

TEST_CASE("a chunk with a wrong byte, or of another size than it says, is refused")
{
    Compressor tool;
    ChunkDecompressor decompressor;
    const std::vector<uint64_t> memory = make_buffer(50);
    EventChunkHeader header = {};
    const auto compressed = tool.compressor.compress(*reinterpret_cast<const RawBufferHeader*>(memory.data()), header);
    const size_t bytes = std::accumulate(std::begin(header.column_bytes), std::end(header.column_bytes), size_t{0});
    std::vector<std::byte> columns(bytes);
    REQUIRE(decompressor.decompress(compressed, columns).has_value());
    for (size_t i = 0; i < compressed.size(); ++i) {
        std::vector<std::byte> damaged(compressed.begin(), compressed.end());
        damaged[i] ^= std::byte{0x10};
        // Some bits of a zstd frame mean nothing, such as the size of the window beyond what is needed.
        std::vector<std::byte> read(bytes);
        if (decompressor.decompress(damaged, read)) CHECK(read == columns);
    }
    for (size_t cut = 0; cut < compressed.size(); ++cut)
        CHECK_FALSE(decompressor.decompress(compressed.first(cut), columns).has_value());
    std::vector<std::byte> larger(bytes + 1);
    CHECK_FALSE(decompressor.decompress(compressed, larger).has_value());
    std::vector<std::byte> smaller(bytes - 1);
    CHECK_FALSE(decompressor.decompress(compressed, smaller).has_value());
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
        const std::vector<uint64_t> memory = make_buffer(count);
        EventChunkHeader header = {};
        const auto compressed =
            tool.compressor.compress(*reinterpret_cast<const RawBufferHeader*>(memory.data()), header);
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
    const std::vector<uint64_t> memory = make_buffer(77);
    EventChunkHeader header = {};
    const auto compressed = tool.compressor.compress(*reinterpret_cast<const RawBufferHeader*>(memory.data()), header);
    const uint64_t room = chunk_bytes(header.compressed_bytes);
    std::vector<uint64_t> place(room / 8 + 1, 0x5555555555555555u);
    auto* bytes = reinterpret_cast<std::byte*>(place.data());
    CHECK(append_chunk(bytes, room, header, compressed) == room);
    CHECK(is_valid_zst({bytes, room}));
    CHECK(place.back() == 0x5555555555555555u);
}
