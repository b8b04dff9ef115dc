#include "analyzer/analysis/root_paths.hpp"

#include <algorithm>

namespace leak::analyzer {

using format::AreaKind;

namespace {

constexpr uint32_t kNoParent = UINT32_MAX;

} // namespace

RootPaths::RootPaths(const PointerGraph& graph) : graph_(graph), parents_(graph.blocks().size(), kNoParent)
{
    for (const AreaKind kind : {AreaKind::module_data, AreaKind::anonymous, AreaKind::stack}) {
        auto area = graph.memory().image.areas.begin();
        for (const uint32_t word : graph.root_words()) {
            while (graph.words()[word].address >= area->address + area->bytes) ++area;
            if (area->kind == kind) visit(graph.target(word), word);
        }
    }
    for (const uint64_t value : graph.root_values()) visit(graph.block_at(value), kRegisterWord);
    for (size_t next = 0; next < queue_.size(); ++next)
        graph.for_each_pointer(queue_[next], [&](BlockNumber to, uint64_t, uint32_t word) { visit(to, word); });
    queue_ = {};
}

// Who leads to a block of leak_alloc() leads to the one that it lies in.
void RootPaths::visit(BlockNumber to, uint32_t by)
{
    for (; to != kNoBlock && parents_[to] == kNoParent; to = graph_.blocks()[to].around) {
        parents_[to] = by;
        queue_.push_back(to);
    }
}

std::vector<uint32_t> RootPaths::to_block(BlockNumber block) const
{
    std::vector<uint32_t> path;
    while (block != kNoBlock && parents_[block] != kNoParent) {
        const uint32_t word = parents_[block];
        path.push_back(word);
        if (word == kRegisterWord) break;
        block = graph_.block_at(graph_.words()[word].address);
    }
    std::ranges::reverse(path);
    return path;
}

std::vector<uint32_t> RootPaths::by_word(uint32_t word) const
{
    const BlockNumber holder = graph_.block_at(graph_.words()[word].address);
    std::vector<uint32_t> path;
    if (holder != kNoBlock) path = to_block(holder);
    path.push_back(word);
    return path;
}

} // namespace leak::analyzer
