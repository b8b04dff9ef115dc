#include "analyzer/report/kept_by.hpp"

#include "analyzer/report/frame_kind.hpp"

#include <algorithm>

namespace leak::analyzer {

using format::AreaKind;
using format::SnapshotArea;

namespace {

constexpr size_t kMostSteps = 5; // and the root

[[nodiscard]] Frame deciding_frame_of(const ReplayResult& trace, Symbolizer& symbolizer, StackId stack)
{
    const std::vector<Frame> frames = symbolizer.symbolize(trace.stacks.frames(stack));
    return frames.empty() ? Frame{} : deciding_frame(frames, trace.info.exe);
}

// The module that has the address; areas name it, but not all.
[[nodiscard]] ModuleId module_of(const ReplayResult& trace, const SnapshotArea& area, uint64_t address)
{
    if (area.owner != 0 && area.owner < trace.modules.size()) return ModuleId{area.owner};
    for (const Module& module : trace.modules)
        if (address >= module.start && address < module.end && !module.unloaded_ns) return module.id;
    return {};
}

void describe_global(const ReplayResult& trace, Symbolizer& symbolizer, const SnapshotArea& area, KeptBy& kept)
{
    kept.root = RootKind::global;
    const ModuleId id = module_of(trace, area, kept.address);
    Variable variable = symbolizer.variable_at(kept.address, id);
    kept.name = std::move(variable.name);
    kept.offset = variable.offset;
    if (id.value == 0 || id.value >= trace.modules.size()) return;
    kept.module = trace.modules[id.value].path;
    kept.address -= trace.modules[id.value].bias;
}

void describe_anonymous(const ReplayResult& trace, Symbolizer& symbolizer, KeptBy& kept)
{
    kept.root = RootKind::anonymous;
    const std::vector<LiveBlock>& mapped = trace.memory->mapped;
    const auto behind = std::ranges::upper_bound(mapped, kept.address, {}, &LiveBlock::address);
    if (behind == mapped.begin()) return;
    const LiveBlock& range = *std::prev(behind);
    if (kept.address - range.address >= range.bytes) return;
    kept.name = deciding_frame_of(trace, symbolizer, range.stack).function;
    kept.offset = kept.address - range.address;
}

void describe_root(const ReplayResult& trace, const PointerGraph& graph, Symbolizer& symbolizer, uint32_t word,
                   KeptBy& kept)
{
    if (word == kRegisterWord) {
        kept.root = RootKind::registers;
        return;
    }
    kept.address = graph.words()[word].address;
    const SnapshotArea* area = graph.memory().image.area_at(kept.address);
    if (area != nullptr && area->kind == AreaKind::module_data) return describe_global(trace, symbolizer, *area, kept);
    if (area == nullptr || area->kind != AreaKind::stack) return describe_anonymous(trace, symbolizer, kept);
    kept.root = RootKind::stack;
    kept.tid = area->owner;
    const auto thread = std::ranges::find(trace.threads, kept.tid, &Thread::tid);
    if (thread != trace.threads.end()) kept.name = thread->name;
}

} // namespace

KeptBy describe_path(const ReplayResult& trace, const PointerGraph& graph, Symbolizer& symbolizer,
                     std::span<const uint32_t> path, uint64_t begin)
{
    KeptBy kept;
    describe_root(trace, graph, symbolizer, path.front(), kept);
    if (path.back() != kRegisterWord) kept.into = graph.words()[path.back()].value - begin;
    const std::span<const uint32_t> inner = path.subspan(1);
    kept.left_out = inner.size() - std::min(inner.size(), kMostSteps);
    for (const uint32_t word : inner.subspan(kept.left_out)) {
        const uint64_t address = graph.words()[word].address;
        const BlockNumber holder = graph.block_at(address);
        if (holder == kNoBlock) continue; // not of a path
        const LiveBlock& block = graph.live(holder);
        kept.steps.push_back({.bytes = block.bytes,
                              .offset = address - block.address,
                              .allocated_by = deciding_frame_of(trace, symbolizer, block.stack)});
    }
    return kept;
}

} // namespace leak::analyzer
