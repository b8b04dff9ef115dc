// The areas of a process's memory, as its core has them: the same that a snapshot lists (FORMAT.md, section 10), from
// the core's mappings and the trace's modules, without what is libleak.so's own.
//
// One thread. Memory: some hundred bytes a mapping.
#pragma once

#include "analyzer/decode/core_file.hpp"
#include "analyzer/decode/snapshot.hpp"
#include "analyzer/replay/trace_model.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace leak::analyzer {

// What the trace knows of the process at the moment of the core.
struct CoreContext {
    std::string trace_path;
    const std::vector<Module>& modules; // index = ModuleId
    const std::vector<Thread>& threads;
    int64_t at_ns = 0;
};

struct CoreAreas {
    // By address, without overlap. The core has their contents, but for those of the kind read_only.
    std::vector<format::SnapshotArea> areas;
    // Mapped memory of which the core has nothing, because it was never written, or should not be dumped, or because
    // the core was cut: it may be pointed to.
    std::vector<AddressRange> unseen;
    std::vector<const CoreThread*> threads; // without those of libleak.so
    uint32_t threads_without_stack = 0;

    // Whether an area has the address.
    [[nodiscard]] bool has(uint64_t address) const;
};

[[nodiscard]] CoreAreas find_core_areas(const CoreFile& core, const CoreContext& context);

} // namespace leak::analyzer
