#include "analyzer/analysis/reachability.hpp"

#include <algorithm>

namespace leak::analyzer {

namespace {

class Marker {
public:
    explicit Marker(const PointerGraph& graph)
        : graph_(graph),
          result_{std::vector(graph.blocks().size(), BlockClass::unknown), std::vector(graph.blocks().size(), kNoBlock)}
    {
    }

    Reachability run()
    {
        mark_reachable();
        mark_interior_only();
        mark_unreachable();
        return std::move(result_);
    }

private:
    [[nodiscard]] bool is_marked(BlockNumber block) const { return result_.classes[block] != BlockClass::unknown; }

    void mark(BlockNumber block, BlockClass as)
    {
        if (is_marked(block)) return;
        result_.classes[block] = as;
        stack_.push_back(block);
        // Whoever holds a block of leak_alloc() holds the memory that it lies in, if not its start.
        if (const BlockNumber around = graph_.blocks()[block].around; around != kNoBlock) inside_.push_back(around);
    }

    template <typename Visit> void for_each_root(Visit&& visit) const
    {
        for (const uint32_t word : graph_.root_words()) visit(graph_.target(word), graph_.words()[word].value);
        for (const uint64_t value : graph_.root_values()) visit(graph_.block_at(value), value);
    }

    // By pointers to starts alone.
    void mark_reachable()
    {
        const auto follow = [&](BlockNumber to, uint64_t value, uint32_t = 0) {
            if (!is_marked(to) && graph_.is_to_start(value, to)) mark(to, BlockClass::reachable);
        };
        for_each_root(follow);
        while (!stack_.empty()) {
            const BlockNumber from = stack_.back();
            stack_.pop_back();
            graph_.for_each_pointer(from, follow);
        }
    }

    // By pointers of any kind, from what is reachable on.
    void mark_interior_only()
    {
        const auto follow = [&](BlockNumber to, uint64_t = 0, uint32_t = 0) { mark(to, BlockClass::interior_only); };
        for_each_root(follow);
        for (BlockNumber from = 0; from < result_.classes.size(); ++from)
            if (result_.classes[from] == BlockClass::reachable) graph_.for_each_pointer(from, follow);
        while (!stack_.empty() || !inside_.empty()) {
            if (!inside_.empty()) {
                const BlockNumber around = inside_.back();
                inside_.pop_back();
                follow(around);
                continue;
            }
            const BlockNumber from = stack_.back();
            stack_.pop_back();
            graph_.for_each_pointer(from, follow);
        }
    }

    // What is left: blocks that no other one leads to are unreachable, and of each cycle that nothing else leads to its
    // largest block. (Found as memcheck does it: a block that turns out to be led to by a later one is indirect.)
    void mark_unreachable()
    {
        std::vector<BlockNumber> left;
        for (BlockNumber block = 0; block < result_.classes.size(); ++block)
            if (!is_marked(block)) left.push_back(block);
        std::vector<bool> is_led_to(result_.classes.size());
        for (const BlockNumber from : left)
            graph_.for_each_pointer(from, [&](BlockNumber to, uint64_t, uint32_t) { is_led_to[to] = true; });
        for (const BlockNumber block : left)
            if (!is_led_to[block]) lead(block);
        // Only cycles are left, and what they lead to: those first that lead to others.
        std::vector<BlockNumber> cycles;
        for (const BlockNumber block : left)
            if (!is_marked(block)) cycles.push_back(block);
        for (const BlockNumber block : in_order_of_leading(cycles))
            if (!is_marked(block)) lead(block);
    }

    void lead(BlockNumber leader)
    {
        result_.classes[leader] = BlockClass::unreachable;
        stack_.push_back(leader);
        while (!stack_.empty()) {
            const BlockNumber from = stack_.back();
            stack_.pop_back();
            graph_.for_each_pointer(from, [&](BlockNumber to, uint64_t, uint32_t) {
                if (is_marked(to)) return;
                result_.classes[to] = BlockClass::indirect;
                result_.leaders[to] = leader;
                stack_.push_back(to);
            });
        }
    }

    // Depth first, by the end of each visit, the last one first (Kosaraju's order): the first block of it that is not
    // marked yet is of a cycle that no other one leads to, and the largest block of that cycle.
    [[nodiscard]] std::vector<BlockNumber> in_order_of_leading(std::vector<BlockNumber> blocks)
    {
        const auto bytes = [&](BlockNumber block) { return graph_.blocks()[block].end - graph_.blocks()[block].begin; };
        std::ranges::stable_sort(blocks, std::ranges::greater{}, bytes);
        std::vector<bool> was_visited(result_.classes.size());
        std::vector<BlockNumber> order;
        struct Visit {
            BlockNumber block;
            bool is_over;
        };
        std::vector<Visit> visits;
        for (const BlockNumber root : blocks) {
            visits.push_back({root, false});
            while (!visits.empty()) {
                const Visit visit = visits.back();
                visits.pop_back();
                if (visit.is_over) {
                    order.push_back(visit.block);
                    continue;
                }
                if (was_visited[visit.block]) continue;
                was_visited[visit.block] = true;
                visits.push_back({visit.block, true});
                graph_.for_each_pointer(visit.block, [&](BlockNumber to, uint64_t, uint32_t) {
                    if (!is_marked(to) && !was_visited[to]) visits.push_back({to, false});
                });
            }
        }
        std::ranges::reverse(order);
        return order;
    }

    const PointerGraph& graph_;
    Reachability result_;
    std::vector<BlockNumber> stack_;
    std::vector<BlockNumber> inside_; // blocks that others which are reached lie in
};

} // namespace

Reachability find_reachability(const PointerGraph& graph)
{
    return Marker(graph).run();
}

} // namespace leak::analyzer
