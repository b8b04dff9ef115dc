#include "format/snapshot.hpp"

#include <doctest/doctest.h>

#include <vector>

using namespace leak::format;

namespace {

struct Parts {
    std::vector<std::byte> all;
    void part(std::span<const std::byte> bytes) { all.insert(all.end(), bytes.begin(), bytes.end()); }
};

const std::vector<SnapshotArea> kAreas = {{0x1000, 0x2000, AreaKind::module_data, 3},
                                          {0x10'0000, 0x8000, AreaKind::anonymous, 0},
                                          {0x7fff'0000'0000, 0x1000, AreaKind::stack, 4711}};
const std::vector<std::vector<SnapshotWord>> kWords = {
    {{0x1000, 0x10'0010}, {0x1008, 0x10'0013}, {0x2ff8, 0x10'7ff8}}, {}, {{0x7fff'0000'0ff8, 0x10'0000}}};

[[nodiscard]] std::vector<std::byte> written()
{
    Parts parts;
    std::vector<std::byte> buffer(kMaxPartBytes + 64);
    SnapshotEncoder encoder(buffer, parts);
    uint64_t end = 0;
    for (const SnapshotArea& area : kAreas) {
        encoder.put_area(area, end);
        end = area.address + area.bytes;
    }
    for (size_t i = 0; i < kAreas.size(); ++i) {
        encoder.begin_words(kAreas[i]);
        for (const SnapshotWord& word : kWords[i]) encoder.put_word(word);
        encoder.end_words();
    }
    encoder.flush();
    return parts.all;
}

} // namespace

TEST_CASE("areas and words of a snapshot come back as they were put")
{
    const std::vector<std::byte> bytes = written();
    SnapshotDecoder decoder(bytes);
    uint64_t end = 0;
    for (const SnapshotArea& wanted : kAreas) {
        const SnapshotArea area = decoder.get_area(end);
        CHECK(area.address == wanted.address);
        CHECK(area.bytes == wanted.bytes);
        CHECK(area.kind == wanted.kind);
        CHECK(area.owner == wanted.owner);
        end = area.address + area.bytes;
    }
    for (size_t i = 0; i < kAreas.size(); ++i) {
        decoder.begin_words(kAreas[i]);
        SnapshotWord word;
        for (const SnapshotWord& wanted : kWords[i]) {
            REQUIRE(decoder.get_word(word));
            CHECK(word.address == wanted.address);
            CHECK(word.value == wanted.value);
        }
        CHECK_FALSE(decoder.get_word(word));
    }
    CHECK(decoder.is_sound());
}

TEST_CASE("a word behind the end of its area is refused, and so is a stream that ends early")
{
    const std::vector<std::byte> bytes = written();
    SnapshotDecoder decoder(bytes);
    uint64_t end = 0;
    for (size_t i = 0; i < kAreas.size(); ++i) {
        const SnapshotArea area = decoder.get_area(end);
        end = area.address + area.bytes;
    }
    decoder.begin_words({0x1000, 0x10, AreaKind::module_data, 3}); // two words of three fit
    SnapshotWord word;
    CHECK(decoder.get_word(word));
    CHECK(decoder.get_word(word));
    CHECK_FALSE(decoder.get_word(word));
    CHECK_FALSE(decoder.is_sound());

    for (size_t cut = 0; cut < bytes.size(); ++cut) {
        SnapshotDecoder short_one{std::span(bytes).first(cut)};
        uint64_t last = 0;
        for (size_t i = 0; i < kAreas.size(); ++i) {
            const SnapshotArea area = short_one.get_area(last);
            last = area.address + area.bytes;
        }
        for (const SnapshotArea& area : kAreas) {
            short_one.begin_words(area);
            while (short_one.get_word(word)) {}
        }
        CHECK_FALSE(short_one.is_sound());
    }
}
