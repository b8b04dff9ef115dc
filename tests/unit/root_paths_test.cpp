#include "analyzer/analysis/root_paths.hpp"

#include "tests/unit/memory_helpers.hpp"

#include <doctest/doctest.h>

using namespace leak::analyzer;
using leak::test::Memory;

namespace {

// The addresses of the words of a path.
std::vector<uint64_t> addresses(const PointerGraph& graph, const std::vector<uint32_t>& path)
{
    std::vector<uint64_t> found;
    for (const uint32_t word : path) found.push_back(word == kRegisterWord ? 0 : graph.words()[word].address);
    return found;
}

} // namespace

TEST_CASE("the shortest way from a root is given, word by word")
{
    Memory memory;
    const uint64_t list = memory.block(64), node = memory.block(64), data = memory.block(1000);
    memory.word(1 << 22, list);
    memory.word(list + 8, node);
    memory.word(node + 16, data + 500);
    memory.word(data + 8, node); // back
    const PointerGraph graph(memory.view(), {});
    const RootPaths paths(graph);
    CHECK(addresses(graph, paths.to_block(graph.block_at(data))) ==
          std::vector<uint64_t>{1 << 22, list + 8, node + 16});
    CHECK(addresses(graph, paths.to_block(graph.block_at(list))) == std::vector<uint64_t>{1 << 22});
}

TEST_CASE("a way by a certain word leads by what holds the word")
{
    Memory memory;
    const uint64_t node = memory.block(64), data = memory.block(1000);
    memory.global(node);
    memory.global(data);
    memory.word(node, data + 16);
    const PointerGraph graph(memory.view(), {});
    const RootPaths paths(graph);
    for (uint32_t word = 0; word < graph.words().size(); ++word)
        if (graph.words()[word].address == node) CHECK(paths.by_word(word).size() == 2);
    CHECK(paths.to_block(graph.block_at(data)).size() == 1);
}

TEST_CASE("no way leads to what is lost, and a register has no address")
{
    Memory memory;
    const uint64_t lost = memory.block(64), held = memory.block(64);
    memory.view().image.registers = {{.tid = 1, .values = {held}}};
    const PointerGraph graph(memory.view(), {});
    const RootPaths paths(graph);
    CHECK(paths.to_block(graph.block_at(lost)).empty());
    CHECK(paths.to_block(graph.block_at(held)) == std::vector<uint32_t>{kRegisterWord});
}

TEST_CASE("whoever leads to a block within another leads to that one, too")
{
    Memory memory;
    const uint64_t pool = memory.block(1000);
    const uint64_t object = memory.inside(pool + 96, 32);
    memory.global(object);
    const PointerGraph graph(memory.view(), {});
    const RootPaths paths(graph);
    CHECK(paths.to_block(graph.block_at(object)).size() == 1);
    CHECK(paths.to_block(graph.block_at(pool)).size() == 1);
}
