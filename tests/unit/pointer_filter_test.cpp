// Which words a snapshot keeps, against a plain search.
#include "preload/snapshot/pointer_filter.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <vector>

using namespace leak::preload;
using leak::format::AreaKind;

namespace {

constexpr uint64_t kMiB = BlockRegions::kRegionBytes;

} // namespace

TEST_CASE("words are kept that lead to where blocks were, to where mappings begin, and of blocks those to constants")
{
    for (unsigned seed = 0; seed < 50; ++seed) {
        std::mt19937_64 random(seed);
        const auto below = [&random](uint64_t bound) { return random() % bound; };
        MappedArray<AreaPiece> pieces;
        uint64_t end = seed % 2 == 0 ? 0x10000 : 0x7f00'0000'0000;
        constexpr AreaKind kinds[] = {AreaKind::anonymous, AreaKind::anonymous, AreaKind::read_only, AreaKind::stack};
        for (int i = 0; i < 20; ++i) {
            const uint64_t begin = end + (below(2) == 0 ? 0 : below(3 * kMiB) / 8 * 8);
            end = begin + 8 + below(4 * kMiB) / 8 * 8;
            pieces.push_back({begin, end, 0, static_cast<uint8_t>(kinds[below(4)]), false, false});
        }
        BlockRegions regions;
        std::vector<std::pair<uint64_t, uint64_t>> blocks;
        for (int i = 0; i < 20; ++i) {
            const AreaPiece& piece = pieces[below(pieces.size())];
            const uint64_t at = piece.begin + below(piece.end - piece.begin);
            blocks.emplace_back(at, below(8) == 0 ? below(3 * kMiB) : below(1000));
            regions.note(blocks.back().first, blocks.back().second, regions.owner_for(0));
        }
        MappingStarts starts;
        std::vector<uint64_t> noted;
        for (int i = 0; i < 20; ++i) {
            const uint64_t begin = pieces[below(pieces.size())].begin / kPageBytes * kPageBytes;
            const uint64_t bytes = 1 + below(kMiB);
            starts.note(reinterpret_cast<const void*>(begin), bytes);
            noted.push_back(begin);
            noted.push_back((begin + bytes + kPageBytes - 1) / kPageBytes * kPageBytes);
        }
        PointerFilter filter(regions, starts);
        REQUIRE(filter.begin(pieces));
        const auto held_block = [&](uint64_t value) {
            return std::ranges::any_of(blocks, [&](const auto& block) {
                return block.first / kMiB <= value / kMiB && value / kMiB <= (block.first + block.second) / kMiB;
            });
        };
        uint64_t from = 0, to = 0; // where the words lie
        for (int i = 0; i < 5000; ++i) {
            if (i % 10 == 0) {
                from = below(2) == 0 ? blocks[below(blocks.size())].first : pieces[below(pieces.size())].begin;
                to = filter.enter(from);
                CHECK(to == (from / kMiB + 1) * kMiB);
            }
            const AreaPiece& near = pieces[below(pieces.size())];
            uint64_t value = below(3) == 0 ? below(1000) : near.begin - 2 * kMiB + below(8 * kMiB);
            if (below(3) == 0) value = value / kPageBytes * kPageBytes;
            if (below(8) == 0) value = blocks[below(blocks.size())].first;
            if (below(8) == 0) value = noted[below(noted.size())];
            const auto in = std::ranges::find_if(
                pieces, [&](const AreaPiece& piece) { return piece.begin <= value && value < piece.end; });
            const bool is_start = value % kPageBytes == 0 && starts.may_begin_at(value);
            if (std::ranges::find(noted, value) != noted.end()) CHECK(is_start);
            const bool is_wanted = in != pieces.end() && in->is_target() &&
                                   ((in->is(AreaKind::read_only) ? held_block(from) : held_block(value)) || is_start);
            CAPTURE(seed);
            CAPTURE(value);
            CHECK(filter.keeps(value) == is_wanted);
        }
    }
}

TEST_CASE("a block that is larger than memory can be takes no time, and counts as anywhere")
{
    for (const uint64_t bytes : {uint64_t{1} << 40, uint64_t{1} << 60}) {
        BlockRegions regions;
        regions.note(0x10000, 100, regions.owner_for(0));
        CHECK(!regions.held_block(0x7f00'4000'0000));
        regions.note(0x20000, bytes, regions.owner_for(0));
        CHECK(regions.held_block(0x7f00'4000'0000));
    }
}

TEST_CASE("where a mapping began is known for good, and of what never did hardly anything is taken for it")
{
    MappingStarts starts;
    const auto note = [&](uint64_t address, uint64_t bytes) {
        starts.note(reinterpret_cast<const void*>(address), bytes);
    };
    constexpr uint64_t kFirst = 0x7f00'0000'0000;
    for (uint64_t i = 0; i < 100; ++i) note(kFirst + i * kMiB, kMiB / 2 - 1);
    int others = 0;
    for (uint64_t at = kFirst; at < kFirst + 100 * kMiB; at += kPageBytes) {
        if (at % (kMiB / 2) == 0)
            CHECK(starts.may_begin_at(at)); // also behind the end: of what was mapped there before
        else
            others += starts.may_begin_at(at);
    }
    CHECK(others < 100);
}
