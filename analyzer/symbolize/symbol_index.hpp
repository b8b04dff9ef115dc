// The symbol table of one module file, sorted by address.
//
// One thread. Built once a file; libdwfl's own look-up by address walks the whole table each time.
#pragma once

#include <cstdint>
#include <elfutils/libdwfl.h>
#include <vector>

namespace leak::analyzer {

enum class SymbolKind : uint8_t { function, variable };

class SymbolIndex {
public:
    // Takes .symtab (of the file or its debug file), else .dynsym, and what .gnu_debugdata adds. The names stay
    // owned by `module`.
    SymbolIndex(Dwfl_Module* module, SymbolKind kind);

    // The linkage name of the function or variable at `address` (in the file), or nullptr. start: where it begins.
    [[nodiscard]] const char* find(uint64_t address, uint64_t* start = nullptr) const;
    [[nodiscard]] bool empty() const { return symbols_.empty(); }

private:
    struct Symbol {
        uint64_t start;
        uint64_t end; // start: the table does not say
        const char* name;
        uint8_t rank; // of several at one address the lowest holds
    };
    std::vector<Symbol> symbols_;
};

} // namespace leak::analyzer
