#include "analyzer/replay/replay.hpp"

#include "analyzer/decode/trace_file.hpp"
#include "analyzer/replay/core_memory.hpp"
#include "analyzer/replay/event_merge.hpp"
#include "analyzer/replay/parent_trace.hpp"
#include "analyzer/replay/replay_result.hpp"
#include "analyzer/replay/replayer.hpp"

#include <algorithm>
#include <limits>

namespace leak::analyzer {

namespace {

// Events between two calls of on_progress.
constexpr uint64_t kProgressEvents = 1 << 16;

void inherit(const TraceContents& trace, Replayer& replayer, ReplayResult& result)
{
    const auto blocks = inherited_blocks(trace, result.stacks, result.modules);
    result.info.parent_found = blocks.has_value();
    if (!blocks) return;
    for (const LiveBlock& block : *blocks) replayer.inherit(block);
}

// Before the first event behind it. What was allocated later is not part of it: where events are folded, the replay
// begins with what was live then.
void look_at_memory(const Replayer& replayer, MemoryView& memory)
{
    const auto is_later = [&](const LiveBlock& block) { return block.stamp > memory.image.stamp; };
    memory.blocks = replayer.live_blocks();
    memory.mapped = replayer.live_mappings();
    std::erase_if(memory.blocks, is_later);
    std::erase_if(memory.mapped, is_later);
}

[[nodiscard]] std::optional<MemoryView> read_memory(TraceContents& trace)
{
    auto image = read_snapshot(trace.file, trace.header, std::move(trace.snapshot_parts), trace.damage);
    if (!image) return std::nullopt;
    MemoryView memory;
    memory.at_ns = trace.clock.to_ns(image->stamp);
    memory.events_are_known = !trace.carried || trace.carried->stamp <= image->stamp;
    for (const UnwrittenRun& pages : image->unwritten)
        memory.unwritten.push_back({pages.run, trace.clock.to_ns(pages.since)});
    memory.image = std::move(*image);
    return memory;
}

void replay_events(TraceContents& trace, Replayer& replayer, ReplayResult& result, const ReplayOptions& options)
{
    EventMerge merge(trace, result.stacks);
    TraceEvent event;
    size_t moment = 0;
    const auto pass_moments = [&](int64_t at_ns) {
        for (; moment < options.moments_ns.size() && options.moments_ns[moment] < at_ns; ++moment)
            options.on_moment(moment, replayer.live_blocks());
    };
    bool was_looked_at = !result.memory;
    const auto pass_snapshot = [&](uint64_t stamp) {
        if (was_looked_at || stamp <= result.memory->image.stamp) return;
        look_at_memory(replayer, *result.memory);
        was_looked_at = true;
    };
    for (uint64_t done = 0; merge.next(event); ++done) {
        pass_moments(event.at_ns);
        pass_snapshot(event.stamp);
        replayer.apply(event);
        if (done % kProgressEvents == 0 && options.on_progress)
            options.on_progress(static_cast<double>(done) / static_cast<double>(std::max(trace.event_count, done + 1)));
    }
    replayer.finish();
    pass_moments(std::numeric_limits<int64_t>::max());
    pass_snapshot(std::numeric_limits<uint64_t>::max());
    if (options.on_progress) options.on_progress(1);
}

} // namespace

ReplayResult replay_trace(const std::filesystem::path& path, const ReplayOptions& options)
{
    TraceContents trace = open_trace(path);
    ReplayResult result;
    result.info = trace.info;
    result.modules = trace.modules;
    result.threads = trace.threads;
    result.samples = trace.samples;
    std::optional<CoreMemory> core;
    if (options.wants_memory && options.core) {
        core.emplace(*options.core, trace);
        result.memory = core->begin();
    } else if (options.wants_memory) {
        result.memory = read_memory(trace);
    }
    Replayer replayer(trace, options.analyses);
    inherit(trace, replayer, result);
    replayer.carry(trace, result.stacks);
    replay_events(trace, replayer, result, options);
    // Beyond this point nothing of the trace is read any more.

    fill_result(trace, replayer, result);
    if (core) core->read(*result.memory, result.info.duration_ns, options.on_progress);
    return result;
}

} // namespace leak::analyzer
