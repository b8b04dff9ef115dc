// From code addresses to names: functions, files, lines and inlined frames, by elfutils libdw.
//
// Knows modules and nothing of traces. One thread. Results are cached by (module file, address in the file).
#pragma once

#include "analyzer/replay/trace_model.hpp"

#include <memory>
#include <string>
#include <vector>

namespace leak::analyzer {

struct Frame {
    std::string function{}; // demangled (C++ and Rust); empty: unknown
    std::string file{};     // empty: unknown
    uint32_t line = 0;      // 0: unknown
    std::string module{};   // path of the module, or empty
    uint64_t offset = 0;    // address in the module's file; the absolute address where there is no module
    bool inlined = false;   // this function was inlined into the next frame of the list
    friend bool operator==(const Frame&, const Frame&) = default;
};

// A variable of static storage.
struct Variable {
    std::string name{};  // demangled; empty: unknown
    uint64_t offset = 0; // of the address asked for, from its start
};

// What became of a module's symbols, for `leakan info`.
struct ModuleSymbols {
    bool file_found = false;       // a file with the same build-id (or, without build-ids, at the same path)
    bool build_id_differs = false; // there is a file at the path, but it is another build: not used
    bool has_symbols = false;
    bool has_lines = false;
    std::string debug_file; // separate debug file that was used, if any
};

class Symbolizer {
public:
    explicit Symbolizer(const std::vector<Module>& modules);
    ~Symbolizer();
    Symbolizer(const Symbolizer&) = delete;
    Symbolizer& operator=(const Symbolizer&) = delete;

    // Modules that were loaded since; those known may be among them.
    void add(const std::vector<Module>& modules);

    // The frames of one pc, the innermost inlined one first; never empty. `exact`: the pc is an interrupted
    // instruction, not a return address.
    [[nodiscard]] const std::vector<Frame>& frames(Pc pc, bool exact = false);

    // The frames of a whole stack (innermost pc first), inlined ones included. The pc behind a signal trampoline
    // (__restore_rt) is taken as exact. Frames of libleak.so itself are left out; empty only when nothing else is left.
    [[nodiscard]] std::vector<Frame> symbolize(const std::vector<Pc>& stack);

    // The variable at an absolute address in the module's data.
    [[nodiscard]] Variable variable_at(uint64_t address, ModuleId module);

    [[nodiscard]] ModuleSymbols symbols_of(ModuleId module);

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

} // namespace leak::analyzer
