#include "analyzer/analysis/block_uses.hpp"

#include "tests/unit/memory_helpers.hpp"

#include <doctest/doctest.h>

using namespace leak::analyzer;
using leak::test::Memory;

namespace {

constexpr uint64_t kPage = 4096;
constexpr uint64_t kMebibyte = 1 << 20;
constexpr uint64_t kLarge = 64 * kMebibyte;
const uint64_t kTable = Memory::constants() + 64; // a virtual table

// Of the block at this address.
BlockUses uses_of(Memory& memory, uint64_t address)
{
    const PointerGraph graph(memory.view(), {});
    const Reachability reachability = find_reachability(graph);
    const BlockNumber block = graph.block_at(address);
    return UseFinder(graph, reachability, {block}).uses(block);
}

bool is_pinned_to(const BlockUses& uses, OffsetRange window)
{
    return !uses.is_used_as_whole && uses.window == window;
}

} // namespace

TEST_CASE("a block of which only pointers to the inside are left is used as far as they lead")
{
    Memory memory;
    const uint64_t block = memory.block(kLarge);
    memory.global(block + 20 * kMebibyte);
    memory.global(block + 20 * kMebibyte + 100);
    const BlockUses uses = uses_of(memory, block);
    CHECK(is_pinned_to(uses, {20 * kMebibyte, 20 * kMebibyte + kPage})); // to the end of the page
    CHECK(uses.pointers_inside == 2);
    CHECK(uses.pointers_to_start == 0);
}

TEST_CASE("whoever holds the start, or nearly the start, uses the whole block")
{
    for (const uint64_t offset : {0u, 16u, 48u}) {
        Memory memory;
        const uint64_t block = memory.block(kLarge);
        memory.global(block + 20 * kMebibyte);
        memory.global(block + offset);
        CHECK(uses_of(memory, block).is_used_as_whole);
    }
}

TEST_CASE("the control block of a shared_ptr to a part is a mere owner")
{
    Memory memory;
    const uint64_t block = memory.block(kLarge);
    const uint64_t control = memory.block(24);
    memory.word(control, kTable);
    memory.word(control + 16, block);
    memory.global(block + 12'345'678);
    memory.global(control);
    const BlockUses uses = uses_of(memory, block);
    CHECK(!uses.is_used_as_whole);
    CHECK(uses.owners == 1);
    CHECK(uses.window->from == 12'345'678);
}

TEST_CASE("a shared_ptr to the whole block beside one to a part uses it all")
{
    Memory memory;
    const uint64_t block = memory.block(kLarge);
    const uint64_t control = memory.block(24);
    memory.word(control, kTable);
    memory.word(control + 16, block);
    memory.global(block + 12'345'678);
    memory.global(control); // a part
    memory.global(0);
    memory.global(block);
    memory.global(control); // all
    CHECK(uses_of(memory, block).is_used_as_whole);
}

TEST_CASE("counts and object in one block: make_shared() is seen through, too")
{
    Memory memory;
    const uint64_t block = memory.block(kLarge);
    memory.word(block, kTable);
    memory.global(block + 12'345'678);
    memory.global(block);
    const BlockUses uses = uses_of(memory, block);
    CHECK(!uses.is_used_as_whole);
    CHECK(uses.owners == 1);
    memory.global(block + 16);
    memory.global(block); // the object itself
    CHECK(uses_of(memory, block).is_used_as_whole);
}

TEST_CASE("an object that has a large buffer and a place in it is no mere owner")
{
    Memory memory;
    const uint64_t block = memory.block(kLarge);
    const uint64_t reader = memory.block(24);
    memory.word(reader, block);
    memory.word(reader + 8, block + 3 * kMebibyte);
    memory.global(reader);
    CHECK(uses_of(memory, block).is_used_as_whole);
}

TEST_CASE("a list within an arena reaches as far as its pointers do")
{
    Memory memory;
    const uint64_t arena = memory.block(kLarge);
    memory.global(arena + kMebibyte);
    memory.word(arena + kMebibyte + 8, arena + 2 * kMebibyte);
    memory.word(arena + 2 * kMebibyte + 8, arena + 50 * kMebibyte);
    const BlockUses uses = uses_of(memory, arena);
    CHECK(uses.window->from == kMebibyte);
    CHECK(uses.window->to > 50 * kMebibyte);
}

TEST_CASE("pointers in memory that nothing leads to don't count")
{
    Memory memory;
    const uint64_t block = memory.block(kLarge);
    const uint64_t lost = memory.block(64);
    memory.word(lost, block);
    memory.global(block + 5 * kMebibyte);
    const BlockUses uses = uses_of(memory, block);
    CHECK(uses.pointers_to_start == 0);
    CHECK(!uses.is_used_as_whole);
}

TEST_CASE("a vector says how much of its room is taken")
{
    Memory memory;
    const uint64_t block = memory.block(kLarge);
    memory.global(block);
    memory.global(block + 1000);
    memory.global(block + kLarge);
    CHECK(uses_of(memory, block).contents == OffsetRange{0, 1000});
    memory.global(block + 9 * kMebibyte); // somebody knows more than the vector
    CHECK(!uses_of(memory, block).contents);
}

TEST_CASE("three pointers that don't end where the block ends are no vector")
{
    Memory memory;
    const uint64_t block = memory.block(kLarge);
    memory.global(block);
    memory.global(block + 1000);
    memory.global(block + kLarge / 2);
    CHECK(!uses_of(memory, block).contents);
}

TEST_CASE("a deque says which part of its map has nodes")
{
    Memory memory;
    const uint64_t map = memory.block(kLarge);
    const uint64_t node = memory.block(512);
    const uint64_t entry = map + 8 * kMebibyte;
    memory.word(entry, node);
    memory.global(map);
    memory.global(42); // a number: no pointer
    for (int i = 0; i < 2; ++i)
        for (const uint64_t value : {node + 8, node, node + 512, entry}) memory.global(value);
    CHECK(uses_of(memory, map).contents == OffsetRange{8 * kMebibyte, 8 * kMebibyte + 8});
}
