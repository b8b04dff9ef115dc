// The symbol table of one module file, sorted by address.
//
// One thread. Built once a file; libdwfl's own look-up by address walks the whole table each time.
#pragma once

#include <cstdint>
#include <elfutils/libdwfl.h>
#include <vector>

namespace leak::analyzer {

class SymbolIndex {
public:
    // Takes .symtab (of the file or its debug file), else .dynsym, and what .gnu_debugdata adds. The names stay
    // owned by `module`.
    explicit SymbolIndex(Dwfl_Module* module);

    // The linkage name of the function at `address` (in the file), or nullptr.
    [[nodiscard]] const char* find(uint64_t address) const;
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
