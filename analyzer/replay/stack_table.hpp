// The tree of all stacks of a trace (or of several that are compared): a node is a pc and its caller.
//
// One thread. Memory grows with the distinct stacks. Node 0 is the empty stack.
#pragma once

#include "analyzer/ids.hpp"
#include "analyzer/replay/trace_model.hpp"

#include <vector>

namespace leak::analyzer {

class StackTable {
public:
    StackTable() { nodes_.push_back({}); }

    // The stack that `pc` called from `caller` makes. The same arguments always give the same id.
    StackId child(StackId caller, Pc pc);

    [[nodiscard]] Pc pc(StackId stack) const { return nodes_[stack.value].pc; }
    [[nodiscard]] StackId caller(StackId stack) const { return nodes_[stack.value].caller; }
    [[nodiscard]] size_t size() const { return nodes_.size(); }

    // Innermost frame first.
    [[nodiscard]] std::vector<Pc> frames(StackId stack) const;

private:
    struct Node {
        Pc pc;
        StackId caller;
        StackId last_child; // that was asked for: the same path is walked again and again
    };

    [[nodiscard]] StackId find_or_add(StackId caller, Pc pc);
    void grow();
    [[nodiscard]] size_t home_of(StackId caller, Pc pc) const;

    std::vector<Node> nodes_;
    // Finds a node by (caller, pc): open addressing with linear probing over indexes into nodes_; 0 is an empty place,
    // as node 0 is nobody's child. Its size is a power of two and at least twice the number of nodes.
    std::vector<uint32_t> places_;
};

} // namespace leak::analyzer
