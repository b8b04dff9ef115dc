// What `leakan info` says about a trace: the file, the process, its modules and what was recorded.
//
// One thread.
#pragma once

#include "analyzer/decode/trace_file.hpp"
#include "analyzer/replay/replay.hpp"
#include "analyzer/symbolize/symbolizer.hpp"

#include <filesystem>
#include <vector>

namespace leak::analyzer {

struct ModuleFacts {
    Module module;
    ModuleSymbols symbols;
};

// A StackDifference with names.
struct DifferenceFacts {
    int64_t at_ns = 0;
    std::vector<Frame> walked;
    std::vector<Frame> libunwind;
};

struct TraceFacts {
    TraceInfo info;
    Totals totals;
    uint16_t version_major = 0;
    uint16_t version_minor = 0;
    uint32_t slot_bytes = 0;
    std::vector<ModuleFacts> modules;
    std::vector<Thread> threads;
    std::vector<DifferenceFacts> differences;
    std::vector<SlotInfo> slots;
    uint64_t unused_slots = 0;
};

// Reads the whole trace. Throws UserError when it can't be used.
[[nodiscard]] TraceFacts read_trace_facts(const std::filesystem::path& trace, const ReplayOptions& options);

} // namespace leak::analyzer
