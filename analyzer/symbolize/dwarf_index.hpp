// From an address to the functions it belongs to, inlined ones included, by a module's DWARF.
//
// One thread. Built lazily: the ranges of all units at the first look-up (not .debug_aranges, which clang and rustc
// leave out), the functions of a unit when an address in it is asked for.
#pragma once

#include <cstdint>
#include <elfutils/libdw.h>
#include <string>
#include <unordered_map>
#include <vector>

namespace leak::analyzer {

// One function of the chain at an address.
struct CodeName {
    std::string function{}; // empty: unknown
    std::string file{};     // normalised; absolute where the debug information says
    uint32_t line = 0;      // 0: unknown
    bool inlined = false;   // into the next of the chain
    bool qualified = false; // the name came from a linkage name: it has its scope
};

class DwarfIndex {
public:
    // `dwarf` stays owned by the caller.
    explicit DwarfIndex(Dwarf* dwarf) : dwarf_(dwarf) {}

    // Innermost first; empty when no unit covers `address`, which is one of the debug file.
    [[nodiscard]] std::vector<CodeName> find(uint64_t address);

private:
    struct Range {
        uint64_t start;
        uint64_t end;
        size_t die; // index into units_, or of the unit's functions
    };
    struct Unit {
        Dwarf_Die lines; // has the line table: the skeleton of split DWARF
        Dwarf_Die code;  // has the functions
        bool functions_read = false;
        std::vector<Dwarf_Die> functions{};
        std::vector<Range> ranges{}; // of the functions, by start
    };

    void set_name(CodeName& name, Dwarf_Die& die, Dwarf_Die& unit);
    [[nodiscard]] const std::string& scope_of(Dwarf_Die& die);
    void read_units();
    void read_functions(Unit& unit);
    static void collect_functions(Unit& unit, Dwarf_Die& parent, int depth);
    static void add_ranges(std::vector<Range>& ranges, Dwarf_Die& die, size_t index);
    static const Range* find_range(const std::vector<Range>& ranges, uint64_t address);

    Dwarf* dwarf_;
    bool units_read_ = false;
    std::vector<Unit> units_;
    std::vector<Range> unit_ranges_;                      // by start
    std::unordered_map<const void*, std::string> scopes_; // by address of the declaration's DIE
};

} // namespace leak::analyzer
