#include "analyzer/replay/stack_table.hpp"

#include <bit>

namespace leak::analyzer {

StackId StackTable::child(StackId caller, Pc pc)
{
    const StackId last = nodes_[caller.value].last_child;
    if (last.value != 0 && nodes_[last.value].pc == pc) return last;
    const StackId id = find_or_add(caller, pc);
    nodes_[caller.value].last_child = id;
    return id;
}

StackId StackTable::find_or_add(StackId caller, Pc pc)
{
    if (places_.size() < 2 * (nodes_.size() + 1)) grow();
    size_t place = home_of(caller, pc);
    for (; places_[place] != 0; place = (place + 1) & (places_.size() - 1)) {
        const Node& node = nodes_[places_[place]];
        if (node.caller == caller && node.pc == pc) return StackId{places_[place]};
    }
    const StackId id{static_cast<uint32_t>(nodes_.size())};
    places_[place] = id.value;
    nodes_.push_back({pc, caller, {}});
    return id;
}

std::vector<Pc> StackTable::frames(StackId stack) const
{
    std::vector<Pc> frames;
    for (; stack.value != 0; stack = caller(stack)) frames.push_back(pc(stack));
    return frames;
}

size_t StackTable::home_of(StackId caller, Pc pc) const
{
    // Multiplicative hashing: the high bits are the mixed ones.
    constexpr uint64_t kMix = 0x9e3779b97f4a7c15u;
    uint64_t hash = pc.address * kMix;
    hash = (hash ^ (uint64_t{caller.value} << 16 | pc.module.value)) * kMix;
    return static_cast<size_t>((hash ^ hash >> 32) & (places_.size() - 1));
}

void StackTable::grow()
{
    places_.assign(std::bit_ceil(4 * (nodes_.size() + 64)), 0);
    for (uint32_t i = 1; i < nodes_.size(); ++i) {
        size_t place = home_of(nodes_[i].caller, nodes_[i].pc);
        while (places_[place] != 0) place = (place + 1) & (places_.size() - 1);
        places_[place] = i;
    }
}

} // namespace leak::analyzer
