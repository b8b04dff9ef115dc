#include "analyzer/symbolize/dwarf_index.hpp"

#include "analyzer/symbolize/demangle.hpp"

#include <algorithm>
#include <cstdlib>
#include <dwarf.h>
#include <filesystem>
#include <optional>

namespace leak::analyzer {
namespace {

constexpr int kMaxNesting = 64; // of scopes; deeper ones are a damaged file
constexpr int kOverlapsLookedAt = 8;

std::string normal_path(const char* file, Dwarf_Die& unit)
{
    std::filesystem::path path(file);
    if (path.is_relative()) {
        Dwarf_Attribute attribute;
        const char* directory = dwarf_formstring(dwarf_attr(&unit, DW_AT_comp_dir, &attribute));
        path = directory == nullptr ? path : std::filesystem::path(directory) / path;
    }
    return path.lexically_normal().string();
}

bool is_mangled(std::string_view linkage_name)
{
    return linkage_name.starts_with("_Z") || linkage_name.starts_with("_R") || linkage_name.starts_with("_D");
}

// Languages whose functions stand in namespaces and types.
bool has_scopes(Dwarf_Die& unit)
{
    const int language = dwarf_srclang(&unit);
    return language != DW_LANG_C && language != DW_LANG_C89 && language != DW_LANG_C99 && language != DW_LANG_C11 &&
           language != DW_LANG_Mips_Assembler && language > 0;
}

// "leak::" of a namespace; nothing of blocks and of the unit itself.
std::string scope_name(Dwarf_Die& scope)
{
    const int tag = dwarf_tag(&scope);
    const bool is_type = tag == DW_TAG_structure_type || tag == DW_TAG_class_type || tag == DW_TAG_union_type;
    if (!is_type && tag != DW_TAG_namespace && tag != DW_TAG_subprogram) {
        return {};
    }
    if (const char* name = dwarf_diename(&scope)) {
        return simplify_name(name) + "::";
    }
    return is_type ? "{lambda}::" : tag == DW_TAG_namespace ? "(anonymous namespace)::" : "";
}

// Where a function is declared: through the abstract instance and the declaration it names.
Dwarf_Die declaration_of(Dwarf_Die die)
{
    Dwarf_Attribute attribute;
    Dwarf_Die next;
    for (int hops = 0; hops < 4; ++hops) {
        if (dwarf_formref_die(dwarf_attr(&die, DW_AT_abstract_origin, &attribute), &next) == nullptr &&
            dwarf_formref_die(dwarf_attr(&die, DW_AT_specification, &attribute), &next) == nullptr) {
            break;
        }
        die = next;
    }
    return die;
}

bool is_scope(int tag)
{
    return tag == DW_TAG_lexical_block || tag == DW_TAG_inlined_subroutine || tag == DW_TAG_try_block ||
           tag == DW_TAG_catch_block;
}

// The scope directly inside `parent` that covers `address`.
std::optional<Dwarf_Die> inner_scope(Dwarf_Die& parent, uint64_t address)
{
    Dwarf_Die child;
    if (dwarf_child(&parent, &child) != 0) {
        return std::nullopt;
    }
    do {
        if (is_scope(dwarf_tag(&child)) && dwarf_haspc(&child, address) > 0) {
            return child;
        }
    } while (dwarf_siblingof(&child, &child) == 0);
    return std::nullopt;
}

// Where the inlined function `die` was called.
void set_call_site(CodeName& caller, Dwarf_Die& die, Dwarf_Die& unit)
{
    Dwarf_Attribute attribute;
    Dwarf_Word file = 0;
    Dwarf_Word line = 0;
    Dwarf_Files* files = nullptr;
    if (dwarf_formudata(dwarf_attr(&die, DW_AT_call_file, &attribute), &file) == 0 &&
        dwarf_getsrcfiles(&unit, &files, nullptr) == 0) {
        if (const char* source = dwarf_filesrc(files, file, nullptr, nullptr)) {
            caller.file = normal_path(source, unit);
        }
    }
    if (dwarf_formudata(dwarf_attr(&die, DW_AT_call_line, &attribute), &line) == 0) {
        caller.line = static_cast<uint32_t>(line);
    }
}

void set_line(CodeName& name, Dwarf_Die& unit, uint64_t address)
{
    Dwarf_Line* row = dwarf_getsrc_die(&unit, address);
    if (row == nullptr) {
        return;
    }
    if (const char* source = dwarf_linesrc(row, nullptr, nullptr)) {
        name.file = normal_path(source, unit);
    }
    int line = 0;
    if (dwarf_lineno(row, &line) == 0 && line > 0) {
        name.line = static_cast<uint32_t>(line);
    }
}

} // namespace

// "main::<lambda()>::" of a lambda's operator(). Compilers give local functions no linkage name, and a DIE doesn't know
// its parent: libdw walks the unit for it, so each is asked once.
const std::string& DwarfIndex::scope_of(Dwarf_Die& die)
{
    Dwarf_Die declaration = declaration_of(die);
    const auto [entry, added] = scopes_.try_emplace(declaration.addr);
    Dwarf_Die* scopes = nullptr;
    const int count = added ? dwarf_getscopes_die(&declaration, &scopes) : 0;
    for (int i = 1; i < count; ++i) {
        entry->second.insert(0, scope_name(scopes[i]));
    }
    std::free(scopes);
    return entry->second;
}

void DwarfIndex::set_name(CodeName& name, Dwarf_Die& die, Dwarf_Die& unit)
{
    Dwarf_Attribute attribute;
    for (const unsigned key : {DW_AT_linkage_name, DW_AT_MIPS_linkage_name}) {
        const char* linkage = dwarf_formstring(dwarf_attr_integrate(&die, key, &attribute));
        // C has linkage names too where a function was renamed: glibc's setlocale is __GI_setlocale to the linker.
        if (linkage != nullptr && is_mangled(linkage)) {
            name.function = demangle(linkage);
            name.qualified = true;
            return;
        }
    }
    if (const char* plain = dwarf_diename(&die)) {
        name.function = (has_scopes(unit) ? scope_of(die) : std::string()) + simplify_name(plain);
    }
}

void DwarfIndex::add_ranges(std::vector<Range>& ranges, Dwarf_Die& die, size_t index)
{
    Dwarf_Addr base = 0;
    Dwarf_Addr start = 0;
    Dwarf_Addr end = 0;
    ptrdiff_t next = 0;
    while ((next = dwarf_ranges(&die, next, &base, &start, &end)) > 0) {
        // Linkers leave the ranges of discarded functions at 0 or 1.
        if (start > 1 && end > start) {
            ranges.push_back({start, end, index});
        }
    }
}

const DwarfIndex::Range* DwarfIndex::find_range(const std::vector<Range>& ranges, uint64_t address)
{
    auto candidate = std::ranges::upper_bound(ranges, address, {}, &Range::start);
    for (int i = 0; i < kOverlapsLookedAt && candidate != ranges.begin(); ++i) {
        --candidate;
        if (address < candidate->end) {
            return &*candidate;
        }
    }
    return nullptr;
}

void DwarfIndex::read_units()
{
    units_read_ = true;
    Dwarf_CU* unit = nullptr;
    Dwarf_Half version = 0;
    uint8_t type = 0;
    Dwarf_Die die;
    Dwarf_Die split;
    while (dwarf_get_units(dwarf_, unit, &unit, &version, &type, &die, &split) == 0) {
        if (type != DW_UT_compile && type != DW_UT_skeleton) {
            continue;
        }
        const bool has_split = type == DW_UT_skeleton && dwarf_tag(&split) == DW_TAG_compile_unit;
        add_ranges(unit_ranges_, die, units_.size());
        units_.push_back({.lines = die, .code = has_split ? split : die});
    }
    std::ranges::sort(unit_ranges_, {}, &Range::start);
}

// Functions stand at the top of a unit, in namespaces and types, and (lambdas, local classes) inside other functions.
void DwarfIndex::collect_functions(Unit& unit, Dwarf_Die& parent, int depth)
{
    Dwarf_Die child;
    if (depth > kMaxNesting || dwarf_child(&parent, &child) != 0) {
        return;
    }
    do {
        const int tag = dwarf_tag(&child);
        if (tag == DW_TAG_subprogram) {
            const size_t before = unit.ranges.size();
            add_ranges(unit.ranges, child, unit.functions.size());
            if (unit.ranges.size() > before) {
                unit.functions.push_back(child);
            }
        }
        if (tag == DW_TAG_subprogram || tag == DW_TAG_namespace || tag == DW_TAG_structure_type ||
            tag == DW_TAG_class_type || tag == DW_TAG_union_type || tag == DW_TAG_lexical_block ||
            tag == DW_TAG_module) {
            collect_functions(unit, child, depth + 1);
        }
    } while (dwarf_siblingof(&child, &child) == 0);
}

void DwarfIndex::read_functions(Unit& unit)
{
    unit.functions_read = true;
    collect_functions(unit, unit.code, 0);
    std::ranges::sort(unit.ranges, {}, &Range::start);
}

std::vector<CodeName> DwarfIndex::find(uint64_t address)
{
    if (!units_read_) {
        read_units();
    }
    const Range* covering = find_range(unit_ranges_, address);
    if (covering == nullptr) {
        return {};
    }
    Unit& unit = units_[covering->die];
    if (!unit.functions_read) {
        read_functions(unit);
    }
    std::vector<CodeName> outer_first(1);
    if (const Range* function = find_range(unit.ranges, address)) {
        set_name(outer_first[0], unit.functions[function->die], unit.code);
        std::optional<Dwarf_Die> scope = unit.functions[function->die];
        for (int depth = 0; depth < kMaxNesting && (scope = inner_scope(*scope, address)); ++depth) {
            if (dwarf_tag(&*scope) == DW_TAG_inlined_subroutine) {
                set_call_site(outer_first.back(), *scope, unit.code);
                outer_first.push_back({.inlined = true});
                set_name(outer_first.back(), *scope, unit.code);
            }
        }
    }
    set_line(outer_first.back(), unit.lines, address);
    std::ranges::reverse(outer_first);
    return outer_first;
}

} // namespace leak::analyzer
