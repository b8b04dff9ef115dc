#include "analyzer/analysis/reachability.hpp"
#include "tests/unit/memory_helpers.hpp"

#include <doctest/doctest.h>

using namespace leak::analyzer;
using namespace leak::test;
using leak::format::AreaKind;
using leak::format::EventKind;

TEST_CASE("a pointer leads to the block that it lies in, at any place of it, and not behind it")
{
    Memory memory;
    const uint64_t small = memory.block(24), large = memory.block(1 << 20), last = memory.block(8);
    const PointerGraph graph(memory.view(), {});
    CHECK(graph.block_at(small) == graph.block_at(small + 23));
    CHECK(graph.blocks()[graph.block_at(small)].begin == small);
    CHECK(graph.block_at(small - 1) == kNoBlock);
    CHECK(graph.block_at(small + 24) == kNoBlock);
    CHECK(graph.blocks()[graph.block_at(large + 500'000)].begin == large);
    CHECK(graph.blocks()[graph.block_at(last + 7)].begin == last);
    CHECK(graph.block_at(last + 8) == kNoBlock);
    CHECK(graph.block_at(0) == kNoBlock);
    CHECK(graph.block_at(UINT64_MAX) == kNoBlock);
}

TEST_CASE("any address of scattered blocks is found as by looking at all of them")
{
    Memory memory;
    std::vector<std::pair<uint64_t, uint64_t>> all;
    uint64_t seed = 1;
    const auto random = [&](uint64_t below) {
        seed = seed * 6364136223846793005 + 1442695040888963407;
        return (seed >> 33) % below;
    };
    for (int i = 0; i < 3000; ++i) {
        memory.skip(random(10) == 0 ? random(200 << 20) : random(5000));
        const uint64_t bytes = 1 + (random(20) == 0 ? random(300'000) : random(200));
        all.emplace_back(memory.block(bytes), bytes);
    }
    const PointerGraph graph(memory.view(), {});
    for (const auto& [address, bytes] : all)
        for (const uint64_t at : {address - 1, address, address + bytes / 2, address + bytes - 1, address + bytes}) {
            const auto holds = std::ranges::find_if(
                all, [&](const auto& one) { return at >= one.first && at < one.first + one.second; });
            const BlockNumber found = graph.block_at(at);
            REQUIRE((found == kNoBlock) == (holds == all.end()));
            if (found != kNoBlock) REQUIRE(graph.blocks()[found].begin == holds->first);
        }
}

TEST_CASE("classes: by pointers to starts, to the inside, from lost blocks, from none")
{
    Memory memory;
    const uint64_t held = memory.block(64), inner = memory.block(64), behind_inner = memory.block(64);
    const uint64_t lost = memory.block(64), below = memory.block(64), further_below = memory.block(64);
    memory.global(held);
    memory.global(inner + 8);
    memory.word(inner + 16, behind_inner);
    memory.word(lost, below);
    memory.word(below + 8, further_below + 30);
    const Classes classes(memory);
    CHECK(classes.of(held) == BlockClass::reachable);
    CHECK(classes.of(inner) == BlockClass::interior_only);
    CHECK(classes.of(behind_inner) == BlockClass::interior_only);
    CHECK(classes.of(lost) == BlockClass::unreachable);
    CHECK(classes.of(below) == BlockClass::indirect);
    CHECK(classes.of(further_below) == BlockClass::indirect);
    CHECK(classes.leader_of(below) == lost);
    CHECK(classes.leader_of(further_below) == lost);
    CHECK(classes.leader_of(lost) == 0);
}

TEST_CASE("a pointer to the start counts though others lead to the inside")
{
    Memory memory;
    const uint64_t block = memory.block(64), holder = memory.block(64);
    memory.global(block + 8);
    memory.global(holder);
    memory.word(holder, block);
    CHECK(Classes(memory).of(block) == BlockClass::reachable);
}

TEST_CASE("of a cycle the largest block is unreachable, and all that it leads to indirect")
{
    Memory memory;
    const uint64_t small = memory.block(32), large = memory.block(320), tail = memory.block(5000);
    const uint64_t alone = memory.block(16);
    memory.word(small, large);
    memory.word(large, small);
    memory.word(large + 8, tail);
    memory.word(alone, alone);
    const Classes classes(memory);
    CHECK(classes.of(large) == BlockClass::unreachable);
    CHECK(classes.of(small) == BlockClass::indirect);
    CHECK(classes.of(tail) == BlockClass::indirect);
    CHECK(classes.of(alone) == BlockClass::unreachable);
    CHECK(classes.leader_of(tail) == large);
}

TEST_CASE("a cycle that another leads to is indirect as a whole")
{
    Memory memory;
    const uint64_t a = memory.block(32), b = memory.block(32); // the second cycle, of larger blocks, hangs on the first
    const uint64_t c = memory.block(3200), d = memory.block(3200);
    memory.word(a, b);
    memory.word(b, a);
    memory.word(b + 8, c);
    memory.word(c, d);
    memory.word(d, c);
    const Classes classes(memory);
    CHECK(classes.of(a) == BlockClass::unreachable);
    for (const uint64_t block : {b, c, d}) {
        CHECK(classes.of(block) == BlockClass::indirect);
        CHECK(classes.leader_of(block) == a);
    }
}

TEST_CASE("what C++ means by a pointer behind the start: elements of new[], and further base classes")
{
    Memory memory;
    const uint64_t table = memory.constants();
    const uint64_t array = memory.block(72, EventKind::new_array), plain = memory.block(72, EventKind::new_);
    const uint64_t derived = memory.block(64, EventKind::new_), pair = memory.block(64, EventKind::new_);
    memory.global(array + 8);
    memory.global(plain + 8);
    memory.global(derived + 16);
    memory.word(derived, table);
    memory.word(derived + 16, table + 64);
    memory.global(pair + 16);
    memory.word(pair, table);
    const Classes classes(memory);
    CHECK(classes.of(array) == BlockClass::reachable);
    CHECK(classes.of(plain) == BlockClass::interior_only);
    CHECK(classes.of(derived) == BlockClass::reachable);
    CHECK(classes.of(pair) == BlockClass::interior_only);
}

TEST_CASE("pointers that were left behind in free memory of the allocator hold nothing")
{
    Memory memory;
    const uint64_t block = memory.block(64);
    const uint64_t free = memory.skip(64);
    memory.word(free, block);
    CHECK(Classes(memory).of(block) == BlockClass::reachable);
    const AllocatorMemory heap = {.ranges = {{block, free + 64}}, .is_glibc = true};
    CHECK(Classes(memory, heap).of(block) == BlockClass::unreachable);
    memory.view().image.registered_roots = {{free, free + 8}};
    CHECK(Classes(memory, heap).of(block) == BlockClass::reachable);
}

TEST_CASE("the lists of glibc's malloc point to chunks, which begin within the block before them")
{
    Memory memory;
    const uint64_t block = memory.block(56), other = memory.block(56);
    memory.global(block + 48);
    memory.global(other + 40);
    const AllocatorMemory glibc = {.ranges = {}, .is_glibc = true};
    CHECK(Classes(memory, glibc).of(block) == BlockClass::unreachable);
    CHECK(Classes(memory, glibc).of(other) == BlockClass::interior_only);
    CHECK(Classes(memory).of(block) == BlockClass::interior_only);
}

TEST_CASE("a register holds a block")
{
    Memory memory;
    const uint64_t block = memory.block(64);
    memory.view().image.registers = {{.tid = 1, .values = {7, block}}};
    CHECK(Classes(memory).of(block) == BlockClass::reachable);
}

TEST_CASE("blocks of leak_alloc() lie in others: who holds one holds the memory around it, if not its start")
{
    Memory memory;
    const uint64_t pool = memory.block(4096);
    const uint64_t first = memory.inside(pool, 64), second = memory.inside(pool + 64, 64);
    const uint64_t from_second = memory.block(32);
    memory.global(second);
    memory.word(second, from_second);
    const Classes classes(memory);
    CHECK(classes.of(second) == BlockClass::reachable);
    CHECK(classes.of(from_second) == BlockClass::reachable);
    CHECK(classes.of(first, EventKind::custom_alloc) == BlockClass::unreachable);
    CHECK(classes.of(pool, EventKind::malloc_) == BlockClass::interior_only);
}
