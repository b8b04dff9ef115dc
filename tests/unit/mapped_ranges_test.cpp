#include "analyzer/replay/mapped_ranges.hpp"

#include <doctest/doctest.h>

using namespace leak::analyzer;

namespace {

constexpr uint64_t kPage = 4096;

LiveBlock pages(uint64_t first, uint64_t count, int64_t at_ns = 0)
{
    LiveBlock range;
    range.address = first * kPage;
    range.bytes = count * kPage;
    range.allocated_ns = at_ns;
    range.kind = leak::format::EventKind::mmap_;
    return range;
}

} // namespace

TEST_CASE("a range that is unmapped whole is gone")
{
    MappedRanges ranges;
    CHECK(ranges.map(pages(10, 4)).empty());
    CHECK(ranges.bytes() == 4 * kPage);
    const auto pieces = ranges.unmap(10 * kPage, 4 * kPage);
    REQUIRE(pieces.size() == 1);
    CHECK(pieces[0].bytes == 4 * kPage);
    CHECK(ranges.all().empty());
    CHECK(ranges.bytes() == 0);
}

TEST_CASE("a range loses its head, its tail or its middle")
{
    MappedRanges ranges;
    ranges.map(pages(10, 10));
    CHECK(ranges.unmap(10 * kPage, 2 * kPage).size() == 1);
    CHECK(ranges.unmap(19 * kPage, kPage).size() == 1);
    CHECK(ranges.unmap(14 * kPage, 2 * kPage).size() == 1);
    const auto left = ranges.all();
    REQUIRE(left.size() == 2);
    CHECK(left[0].address == 12 * kPage);
    CHECK(left[0].bytes == 2 * kPage);
    CHECK(left[1].address == 16 * kPage);
    CHECK(left[1].bytes == 3 * kPage);
    CHECK(ranges.bytes() == 5 * kPage);
}

TEST_CASE("one munmap may take several ranges and leave what lies outside")
{
    MappedRanges ranges;
    ranges.map(pages(10, 4));
    ranges.map(pages(20, 4));
    ranges.map(pages(30, 4));
    const auto pieces = ranges.unmap(12 * kPage, 20 * kPage);
    CHECK(pieces.size() == 3);
    CHECK(ranges.bytes() == 4 * kPage);
}

TEST_CASE("sizes that are no whole pages are unmapped to the page's end")
{
    MappedRanges ranges;
    LiveBlock range = pages(10, 3);
    range.bytes -= 100;
    ranges.map(range);
    CHECK(ranges.unmap(range.address, 2 * kPage + 1).size() == 1);
    CHECK(ranges.all().empty());
}

TEST_CASE("a fixed mapping replaces what lay below it")
{
    MappedRanges ranges;
    ranges.map(pages(10, 10, 1));
    const auto replaced = ranges.map(pages(12, 2, 2));
    REQUIRE(replaced.size() == 1);
    CHECK(replaced[0].bytes == 2 * kPage);
    CHECK(ranges.all().size() == 3);
    CHECK(ranges.bytes() == 10 * kPage);
}

TEST_CASE("a munmap that failed is undone without a seam")
{
    MappedRanges ranges;
    ranges.map(pages(10, 10));
    const auto pieces = ranges.unmap(13 * kPage, 2 * kPage);
    CHECK(ranges.all().size() == 2);
    ranges.restore(pieces);
    REQUIRE(ranges.all().size() == 1);
    CHECK(ranges.all()[0].bytes == 10 * kPage);
    CHECK(ranges.bytes() == 10 * kPage);
}

TEST_CASE("what was mapped since stays when a munmap is undone")
{
    MappedRanges ranges;
    ranges.map(pages(10, 2, 1));
    const auto pieces = ranges.unmap(10 * kPage, 2 * kPage);
    ranges.map(pages(11, 1, 2));
    ranges.restore(pieces);
    REQUIRE(ranges.all().size() == 1);
    CHECK(ranges.all()[0].allocated_ns == 2);
}

TEST_CASE("sizes that reach beyond the address space do no harm")
{
    MappedRanges ranges;
    LiveBlock range = pages(10, 1);
    range.bytes = UINT64_MAX;
    ranges.map(range);
    CHECK(ranges.unmap(UINT64_MAX - 10, UINT64_MAX).size() == 1);
    static_cast<void>(ranges.unmap(0, UINT64_MAX));
    CHECK(ranges.bytes() == 0);
}

TEST_CASE("inherited ranges are no bytes of ours")
{
    MappedRanges ranges;
    LiveBlock range = pages(10, 4);
    range.inherited = true;
    ranges.map(range);
    CHECK(ranges.bytes() == 0);
    CHECK(ranges.unmap(10 * kPage, kPage).size() == 1);
    CHECK(ranges.bytes() == 0);
}
