#include "analyzer/replay/stack_table.hpp"

#include <doctest/doctest.h>

#include <map>
#include <random>
#include <vector>

using namespace leak::analyzer;

TEST_CASE("the same stack always has the same id, and gives its frames innermost first")
{
    StackTable table;
    const Pc main_pc{0x1000, ModuleId{1}};
    const Pc inner_pc{0x2000, ModuleId{2}};
    const StackId outer = table.child({}, main_pc);
    const StackId inner = table.child(outer, inner_pc);
    CHECK(inner != outer);
    CHECK(table.child({}, main_pc) == outer);
    CHECK(table.child(outer, inner_pc) == inner);
    CHECK(table.frames(inner) == std::vector<Pc>{inner_pc, main_pc});
    CHECK(table.frames({}).empty());
    CHECK(table.size() == 3);
}

TEST_CASE("the same address in another module is another stack")
{
    StackTable table;
    CHECK(table.child({}, {0x1000, ModuleId{1}}) != table.child({}, {0x1000, ModuleId{2}}));
}

TEST_CASE("a large tree of stacks keeps its ids as it grows")
{
    StackTable table;
    std::mt19937 random(3);
    std::map<std::pair<uint32_t, uint64_t>, StackId> expected;
    for (unsigned i = 0; i < 100'000; ++i) {
        const StackId caller{static_cast<uint32_t>(random() % table.size())};
        const Pc pc{0x400000 + random() % 50 * 4, ModuleId{1}};
        const StackId id = table.child(caller, pc);
        const auto [known, is_new] = expected.try_emplace({caller.value, pc.address}, id);
        REQUIRE(known->second == id);
        REQUIRE(table.pc(id) == pc);
        REQUIRE(table.caller(id) == caller);
    }
    CHECK(table.size() == expected.size() + 1);
}
