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

TEST_CASE("words are kept that lead to where blocks were, to constants, and to the starts of pages")
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
            regions.note(blocks.back().first, blocks.back().second);
        }
        PointerFilter filter;
        REQUIRE(filter.begin(pieces, regions));
        const auto held_block = [&](uint64_t value) {
            return std::ranges::any_of(blocks, [&](const auto& block) {
                return block.first / kMiB <= value / kMiB && value / kMiB <= (block.first + block.second) / kMiB;
            });
        };
        for (int i = 0; i < 5000; ++i) {
            const AreaPiece& near = pieces[below(pieces.size())];
            uint64_t value = below(3) == 0 ? below(1000) : near.begin - 2 * kMiB + below(8 * kMiB);
            if (below(3) == 0) value = value / kPageBytes * kPageBytes;
            if (below(8) == 0) value = blocks[below(blocks.size())].first;
            const auto in = std::ranges::find_if(
                pieces, [&](const AreaPiece& piece) { return piece.begin <= value && value < piece.end; });
            const bool is_wanted = in != pieces.end() && in->is_target() &&
                                   (in->is(AreaKind::read_only) || held_block(value) || value % kPageBytes == 0);
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
        regions.note(0x10000, 100);
        CHECK(!regions.held_block(0x7f00'0000'0000));
        regions.note(0x20000, bytes);
        CHECK(regions.held_block(0x7f00'0000'0000));
    }
}
