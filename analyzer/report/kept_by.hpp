// Who keeps a block: paths of pointers from a root, in names.
//
// One thread.
#pragma once

#include "analyzer/analysis/root_paths.hpp"
#include "analyzer/symbolize/symbolizer.hpp"

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace leak::analyzer {

enum class RootKind : uint8_t {
    global,    // data of a module
    stack,     // of a thread, with its thread-local variables
    anonymous, // memory of no file that is no block of the heap
    registers, // of some thread
};

// A block on the way.
struct KeptStep {
    uint64_t bytes = 0;
    uint64_t offset = 0; // in it: of the pointer to what comes next
    Frame allocated_by;  // the frame that stands for its stack
    friend bool operator==(const KeptStep&, const KeptStep&) = default;
};

struct KeptBy {
    RootKind root = RootKind::global;
    std::string name;     // of a variable; of a thread; of the function that mapped the memory; or empty
    std::string module;   // of a global
    uint64_t address = 0; // of the pointer in the root, in a module's file where it is a global
    uint64_t offset = 0;  // of it, from the start of the variable
    uint32_t tid = 0;     // of a stack
    std::vector<KeptStep> steps;
    size_t left_out = 0; // steps before the first one shown
    uint64_t into = 0;   // offset of what is pointed to, in the block itself
    friend bool operator==(const KeptBy&, const KeptBy&) = default;
};

// A path as RootPaths gives it, to the memory that begins at `begin`.
[[nodiscard]] KeptBy describe_path(const ReplayResult& trace, const PointerGraph& graph, Symbolizer& symbolizer,
                                   std::span<const uint32_t> path, uint64_t begin);

} // namespace leak::analyzer
