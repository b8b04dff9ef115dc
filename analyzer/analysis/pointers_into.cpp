#include "analyzer/analysis/pointers_into.hpp"

#include <algorithm>

namespace leak::analyzer {

PointersInto::PointersInto(const PointerGraph& graph, const Reachability& reachability,
                           std::vector<BlockNumber> targets)
    : graph_(graph), targets_(std::move(targets))
{
    std::vector<bool> is_target(graph.blocks().size());
    for (const BlockNumber target : targets_) is_target[target] = true;
    struct Found {
        uint32_t slot;
        uint32_t word;
    };
    std::vector<Found> found;
    begins_.resize(targets_.size() + 1);
    auto root = graph.root_words().begin();
    for (uint32_t word = 0; word < graph.words().size(); ++word) {
        const BlockNumber target = graph.target(word);
        if (target == kNoBlock || !is_target[target]) continue;
        while (root != graph.root_words().end() && *root < word) ++root;
        const BlockNumber holder = graph.block_at(graph.words()[word].address);
        const bool is_live = holder == kNoBlock
                                 ? root != graph.root_words().end() && *root == word
                                 : holder != target && (reachability.classes[holder] == BlockClass::reachable ||
                                                        reachability.classes[holder] == BlockClass::interior_only);
        if (!is_live) continue;
        const auto slot = static_cast<uint32_t>(slot_of(target));
        found.push_back({slot, word});
        ++begins_[slot + 1];
    }
    for (size_t i = 1; i < begins_.size(); ++i) begins_[i] += begins_[i - 1];
    words_.resize(found.size());
    std::vector<size_t> next(begins_.begin(), begins_.end());
    for (const Found& one : found) words_[next[one.slot]++] = one.word;
}

size_t PointersInto::slot_of(BlockNumber target) const
{
    const auto at = std::ranges::lower_bound(targets_, target);
    return at != targets_.end() && *at == target ? static_cast<size_t>(at - targets_.begin()) : targets_.size();
}

std::span<const uint32_t> PointersInto::words(BlockNumber target) const
{
    const size_t slot = slot_of(target);
    if (slot == targets_.size()) return {};
    return std::span(words_).subspan(begins_[slot], begins_[slot + 1] - begins_[slot]);
}

std::vector<uint64_t> PointersInto::registers(BlockNumber target) const
{
    std::vector<uint64_t> values;
    for (const uint64_t value : graph_.root_values())
        if (graph_.block_at(value) == target) values.push_back(value);
    return values;
}

} // namespace leak::analyzer
