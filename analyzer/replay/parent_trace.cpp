#include "analyzer/replay/parent_trace.hpp"

#include "analyzer/replay/replayer.hpp"
#include "analyzer/user_error.hpp"

#include <algorithm>
#include <filesystem>
#include <unordered_map>

namespace leak::analyzer {

namespace {

namespace fs = std::filesystem;

// Traces on the way from the process asked for to its oldest ancestor; guards against damaged files that name each
// other in a circle.
using Lineage = std::vector<uint64_t>;
constexpr size_t kMostAncestors = 64;

[[nodiscard]] std::optional<TraceContents> open_parent(const TraceContents& child)
{
    if (!child.parent) return std::nullopt;
    const auto& parent_link = *child.parent;
    const fs::path recorded = parent_link.path;
    const fs::path beside = fs::path(child.info.path).parent_path() / recorded.filename();
    for (const fs::path& path : {recorded, beside}) {
        std::error_code error;
        if (!fs::is_regular_file(path, error)) continue;
        try {
            TraceContents parent = open_trace(path);
            if (parent.header.trace_id == parent_link.trace_id) return parent;
        } catch (const UserError&) {
            continue; // Without a usable parent the child is reported alone, and the report says so.
        }
    }
    return std::nullopt;
}

// Names a stack of the parent in the child's stack table, with the child's modules.
class StackTranslator {
public:
    StackTranslator(const StackTable& from, const std::vector<Module>& from_modules, StackTable& to,
                    std::vector<Module>& to_modules)
        : from_(from), from_modules_(from_modules), to_(to), to_modules_(to_modules)
    {
    }

    [[nodiscard]] StackId translate(StackId stack)
    {
        if (stack.value == 0) return stack;
        if (const auto known = stacks_.find(stack); known != stacks_.end()) return known->second;
        StackId at;
        const std::vector<Pc> frames = from_.frames(stack);
        for (auto frame = frames.rbegin(); frame != frames.rend(); ++frame)
            at = to_.child(at, {frame->address, translate(frame->module)});
        stacks_[stack] = at;
        return at;
    }

private:
    [[nodiscard]] ModuleId translate(ModuleId id)
    {
        if (id.value == 0) return id;
        if (const auto known = modules_.find(id); known != modules_.end()) return known->second;
        const Module& module = from_modules_[id.value];
        const auto same = std::ranges::find_if(to_modules_, [&](const Module& other) {
            return other.path == module.path && other.bias == module.bias && other.build_id == module.build_id;
        });
        ModuleId result{static_cast<uint32_t>(same - to_modules_.begin())};
        if (same == to_modules_.end()) {
            to_modules_.push_back(module);
            to_modules_.back().id = result;
        }
        return modules_[id] = result;
    }

    const StackTable& from_;
    const std::vector<Module>& from_modules_;
    StackTable& to_;
    std::vector<Module>& to_modules_;
    std::unordered_map<StackId, StackId> stacks_;
    std::unordered_map<ModuleId, ModuleId> modules_;
};

[[nodiscard]] std::optional<std::vector<LiveBlock>> inherited(const TraceContents& child, StackTable& stacks,
                                                              std::vector<Module>& modules, Lineage& lineage)
{
    if (!child.parent || lineage.size() == kMostAncestors) return std::nullopt;
    if (std::ranges::find(lineage, child.parent->trace_id) != lineage.end()) return std::nullopt;
    std::optional<TraceContents> parent = open_parent(child);
    if (!parent) return std::nullopt;
    lineage.push_back(parent->header.trace_id);

    const uint64_t fork_stamp = child.parent->fork_stamp;
    parent->cut_stamp = std::min(parent->cut_stamp.value_or(fork_stamp), fork_stamp);
    StackTable parent_stacks;
    Replayer replayer(*parent, {});
    if (const auto older = inherited(*parent, parent_stacks, parent->modules, lineage))
        for (const LiveBlock& block : *older) replayer.inherit(block);
    replayer.carry(*parent, parent_stacks);
    for_each_event(*parent, parent_stacks, [&](const TraceEvent& event) { replayer.apply(event); });
    replayer.finish();

    std::vector<LiveBlock> blocks = replayer.live_blocks();
    std::erase_if(blocks, [](const LiveBlock& block) { return block.address == 0; }); // known by their stacks alone
    std::ranges::copy(replayer.live_mappings(), std::back_inserter(blocks));
    StackTranslator translator(parent_stacks, parent->modules, stacks, modules);
    const int64_t shift_ns = child.clock.to_ns(fork_stamp) - parent->clock.to_ns(fork_stamp);
    for (LiveBlock& block : blocks) {
        block.stack = translator.translate(block.stack);
        block.allocated_ns += shift_ns;
        block.inherited = true;
    }
    return blocks;
}

} // namespace

std::optional<std::vector<LiveBlock>> inherited_blocks(const TraceContents& child, StackTable& stacks,
                                                       std::vector<Module>& modules)
{
    Lineage lineage = {child.header.trace_id};
    return inherited(child, stacks, modules, lineage);
}

} // namespace leak::analyzer
