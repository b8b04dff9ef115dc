#include "analyzer/analysis/heap_pages.hpp"

#include <doctest/doctest.h>

using namespace leak::analyzer;

namespace {

constexpr uint64_t kProgramEnd = 0x555555600000;
constexpr uint64_t kMain = kProgramEnd + 0x10000;
constexpr uint64_t kArena = uint64_t{0x7f1234000000}; // a multiple of 64 MiB
constexpr uint64_t kFirstInArena = 0xb70;

[[nodiscard]] LiveBlock block(uint64_t address, uint64_t bytes, uint32_t stack = 1)
{
    LiveBlock one;
    one.address = address;
    one.bytes = bytes;
    one.stack = StackId{stack};
    one.kind = leak::format::EventKind::malloc_;
    return one;
}

} // namespace

TEST_CASE("one small block on each page pins the rest of it")
{
    HeapExtents extents(kProgramEnd);
    std::vector<LiveBlock> blocks;
    for (uint64_t i = 0; i < 100; ++i) blocks.push_back(block(kMain + i * kPageBytes + 0x100, 24, i < 75 ? 1 : 2));
    for (const LiveBlock& one : blocks) extents.on_allocate(one);
    const HeapPages pages = extents.pages_of(blocks);
    CHECK(pages.pages == 100);
    CHECK(pages.sparse_pages == 100);
    CHECK(pages.pinned_free_bytes == 100 * (kPageBytes - 32));
    CHECK(pages.free_between == pages.pinned_free_bytes);
    CHECK(pages.empty_bytes == 0);
    CHECK(pages.stacks.at(StackId{1}).pinned_free_bytes == 75 * (kPageBytes - 32));
    CHECK(pages.stacks.at(StackId{2}).live_blocks == 25);
}

TEST_CASE("pages that are mostly live are not sparse, and large blocks cover whole pages")
{
    HeapExtents extents(kProgramEnd);
    const std::vector<LiveBlock> blocks = {block(kMain + 0x10, 3000),
                                           block(kMain + 2 * kPageBytes + 8, 10 * kPageBytes - 8)};
    for (const LiveBlock& one : blocks) extents.on_allocate(one);
    const HeapPages pages = extents.pages_of(blocks);
    CHECK(pages.pages == 11);
    CHECK(pages.sparse_pages == 0);
    CHECK(pages.free_between < kPageBytes);
    CHECK(pages.empty_bytes == kPageBytes); // the second page
}

TEST_CASE("blocks of any size take no longer than small ones")
{
    HeapExtents extents(kProgramEnd);
    const std::vector<LiveBlock> blocks = {block(kMain + 0x20, uint64_t{1} << 46), block(kMain + 0x40, UINT64_MAX),
                                           block(UINT64_MAX - 100, 100)};
    for (const LiveBlock& one : blocks) extents.on_allocate(one);
    const HeapPages pages = extents.pages_of(blocks);
    CHECK(pages.pages >= (uint64_t{1} << 34));
    CHECK(pages.pages <= (uint64_t{1} << 34) + 1);
}

TEST_CASE("what was allocated once and is free by now counts for the extent")
{
    HeapExtents extents(kProgramEnd);
    const LiveBlock first = block(kMain + 0x10, 32);
    extents.on_allocate(first);
    for (uint64_t i = 1; i < 50; ++i) extents.on_allocate(block(kMain + i * kPageBytes, 100));
    const HeapPages pages = extents.pages_of(std::vector{first});
    CHECK(pages.pages == 1);
    CHECK(pages.empty_bytes == 49 * kPageBytes);
    CHECK(pages.empty_bytes_of_arenas == 0);
}

TEST_CASE("arenas are counted by their first heaps; mapped blocks belong to none")
{
    HeapExtents extents(kProgramEnd);
    CHECK(extents.arenas() == 0);
    extents.on_allocate(block(kArena + kFirstInArena, 100));
    CHECK(extents.arenas() == 1);
    extents.on_allocate(block(kMain, 100));
    CHECK(extents.arenas() == 2);
    extents.on_allocate(block(kArena + (uint64_t{64} << 20) + 0x40, 100));      // a further heap of an arena
    extents.on_allocate(block(kArena + (uint64_t{192} << 20) + 0x10, 1 << 20)); // mapped alone
    CHECK(extents.arenas() == 2);
    extents.on_allocate(block(kArena + (uint64_t{320} << 20) + kFirstInArena, 100));
    CHECK(extents.arenas() == 3);
    const HeapPages pages = extents.pages_of(std::vector{block(kArena + (uint64_t{192} << 20) + 0x10, 1 << 20)});
    CHECK(pages.pages == 0);
}

TEST_CASE("the main arena is one heap, wherever multiples of 64 MiB lie in it")
{
    constexpr uint64_t kHeap = uint64_t{64} << 20, kBorder = (kMain / kHeap + 1) * kHeap;
    HeapExtents extents(kProgramEnd);
    const std::vector<LiveBlock> blocks = {block(kBorder - 10 * kPageBytes + 0x10, 20 * kPageBytes),
                                           block(kBorder + 20 * kPageBytes + 0x10, 100)};
    for (const LiveBlock& one : blocks) extents.on_allocate(one);
    CHECK(extents.arenas() == 1);
    const HeapPages pages = extents.pages_of(blocks);
    REQUIRE(pages.heaps.size() == 1);
    CHECK(pages.heaps[0].is_main);
    CHECK(pages.heaps[0].pages == pages.pages);
    CHECK(pages.pages == 22); // 19 whole ones, two that the block begins and ends on, and that of the other
    CHECK(pages.empty_bytes == 9 * kPageBytes);
}

TEST_CASE("memory that blocks share, as where a release is missing, counts once")
{
    HeapExtents extents(kProgramEnd);
    std::vector<LiveBlock> blocks = {block(kMain, 4 * kPageBytes), block(kMain + 4 * kPageBytes - 0x100, 0x200 - 8)};
    for (uint64_t i = 0; i < 8; ++i) blocks.push_back(block(kMain + kPageBytes + 0x200 + i * 0x40, 40));
    for (const LiveBlock& one : blocks) extents.on_allocate(one);
    const HeapPages pages = extents.pages_of(blocks);
    REQUIRE(pages.heaps.size() == 1);
    CHECK(pages.heaps[0].live_bytes == 4 * kPageBytes + 0x100);
    CHECK(pages.pages == 6); // the header of the first block lies on a page before
    CHECK(pages.free_between == 2 * kPageBytes - 0x100);
}
