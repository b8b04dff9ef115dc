#include "analyzer/report/trace_facts.hpp"

namespace leak::analyzer {

TraceFacts read_trace_facts(const std::filesystem::path& trace, const ReplayOptions& options)
{
    TraceFacts facts;
    {
        TraceContents contents = open_trace(trace);
        facts.version_major = contents.header.version_major;
        facts.version_minor = contents.header.version_minor;
        facts.slot_bytes = contents.header.slot_bytes;
        facts.slots = std::move(contents.slots);
        facts.unused_slots = contents.unused_slots;
    }
    ReplayResult replayed = replay_trace(trace, options);
    Symbolizer symbolizer(replayed.modules);
    for (const Module& module : replayed.modules) {
        if (!module.path.empty()) {
            facts.modules.push_back({module, symbolizer.symbols_of(module.id)});
        }
    }
    for (const StackDifference& one : replayed.info.differences)
        facts.differences.push_back({one.at_ns, symbolizer.symbolize(one.walked), symbolizer.symbolize(one.libunwind)});
    facts.info = std::move(replayed.info);
    facts.totals = replayed.totals;
    facts.threads = std::move(replayed.threads);
    // The trace has forgotten threads that ended and of whom nothing is live.
    if (facts.info.folded_ns) std::erase_if(facts.threads, [](const Thread& thread) { return thread.tid == 0; });
    return facts;
}

} // namespace leak::analyzer
