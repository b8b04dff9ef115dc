// What the headers of a module say, as a core has them: the kernel and gcore write the first page of each ELF file.
//
// One thread.
#pragma once

#include "analyzer/decode/core_file.hpp"
#include "analyzer/replay/trace_model.hpp"

#include <cstdint>
#include <optional>
#include <vector>

namespace leak::analyzer {

struct CoreModule {
    uint64_t end = 0;              // behind its last byte in memory, bss included
    std::vector<uint8_t> build_id; // empty: it has none, or the core lacks it
};

// Whether the core has the module where the trace has it: by build-id, or where one is not known by name.
[[nodiscard]] bool has_module(const CoreFile& core, const Module& module);

// Of the module whose first byte, the ELF header, is at `begin`. Nothing: the core has no sound header there.
[[nodiscard]] std::optional<CoreModule> read_core_module(const CoreFile& core, uint64_t begin);

} // namespace leak::analyzer
