#include "analyzer/analysis/free_below.hpp"
#include "analyzer/analysis/page_use.hpp"
#include "tests/unit/memory_helpers.hpp"

#include <doctest/doctest.h>
#include <map>

using namespace leak::analyzer;
using leak::test::Memory;

namespace {

constexpr uint64_t kPage = 4096;

// What free memory each block of stack 1 keeps in place.
std::map<uint64_t, uint64_t> free_below(const std::vector<LiveBlock>& blocks, const MemoryView* memory,
                                        uint64_t program_end)
{
    std::map<uint64_t, uint64_t> found;
    for_free_below(
        blocks, memory, program_end, [&](size_t i) { return blocks[i].stack == StackId{1}; },
        [&](size_t i, uint64_t bytes) { found[blocks[i].address] = bytes; });
    return found;
}

LiveBlock block(uint64_t address, uint64_t bytes, uint32_t stack)
{
    LiveBlock one;
    one.address = address;
    one.bytes = bytes;
    one.stack = StackId{stack};
    one.kind = leak::format::EventKind::malloc_;
    return one;
}

} // namespace

TEST_CASE("only pages that lie in a stretch of memory as a whole are its own")
{
    Memory memory;
    const uint64_t begin = memory.skip(0);
    MemoryView& view = memory.view();
    view.image.resident = {{begin / kPage, 10}, {begin / kPage + 20, 10}};
    view.unwritten = {{{begin / kPage + 2, 4}, 100}, {{begin / kPage + 22, 100}, 300}};
    PageUse use = page_use(view, {begin + 16, begin + 25 * kPage + 16});
    CHECK(use.pages == 24);
    CHECK(use.touched == 9 + 5);
    CHECK(use.touched_end == begin + 25 * kPage);
    CHECK(use.unwritten == 4 + 3);
    CHECK(use.unwritten_ns == 300);
    use = page_use(view, {begin, begin + 40 * kPage}, 200);
    CHECK(use.touched == 20);
    CHECK(use.unwritten == 4);
    CHECK(use.steady == 4 + 8);
    CHECK(page_use(view, {begin + 1, begin + kPage}).pages == 0);
}

TEST_CASE("of memory of files, and between areas, it is not known what was touched")
{
    Memory memory;
    MemoryView view = memory.view();
    const uint64_t first = uint64_t{1} << 45, second = first + 100 * kPage;
    view.image.areas.push_back({first, 10 * kPage, leak::format::AreaKind::anonymous, 0});
    view.image.areas.push_back({first + 10 * kPage, 10 * kPage, leak::format::AreaKind::module_data, 1});
    view.image.areas.push_back({second, 10 * kPage, leak::format::AreaKind::anonymous, 0});
    view.image.resident = {{first / kPage, 3}, {second / kPage, 4}};
    const PageUse use = page_use(view, {first, second + 5 * kPage});
    CHECK(use.pages == 10 + 5);
    CHECK(use.touched == 3 + 4);
}

TEST_CASE("pages of which nothing is known count neither as touched nor as slack")
{
    Memory memory;
    const uint64_t begin = memory.skip(0);
    MemoryView& view = memory.view();
    view.image.resident = {{begin / kPage, 10}};
    view.image.unknown = {{begin / kPage + 10, 5}, {begin / kPage + 30, 100}};
    const PageUse use = page_use(view, {begin + 5 * kPage, begin + 40 * kPage});
    CHECK(use.pages == 35);
    CHECK(use.touched == 5);
    CHECK(use.unknown == 5 + 10);
    CHECK(use.untouched() == 15);
}

TEST_CASE("a block keeps the free memory below it in place, down to the next block")
{
    Memory memory;
    const uint64_t begin = memory.skip(0);
    MemoryView& view = memory.view();
    view.image.resident = {{begin / kPage, 100}};
    const std::vector<LiveBlock> blocks = {block(begin + 150 * kPage, 100, 1), block(begin + 20 * kPage, 100, 1),
                                           block(begin + 21 * kPage, 100, 2)};
    const auto found = free_below(blocks, &view, 0);
    CHECK(found.size() == 2);
    CHECK(found.at(begin + 20 * kPage) == 20 * kPage);
    CHECK(found.at(begin + 150 * kPage) == 78 * kPage); // from page 22 to the last one in use
}

TEST_CASE("without a snapshot all pages of the same heap count")
{
    constexpr uint64_t program_end = 0x555555600000;
    constexpr uint64_t arena = 0x7f1234000000;
    const std::vector<LiveBlock> blocks = {block(program_end + kPage, 100, 2), block(program_end + 50 * kPage, 100, 1),
                                           block(arena + 10 * kPage, 100, 1)};
    const auto found = free_below(blocks, nullptr, program_end);
    CHECK(found.at(program_end + 50 * kPage) == 48 * kPage);
    CHECK(found.at(arena + 10 * kPage) == 10 * kPage);
}
