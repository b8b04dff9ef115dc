#include "analyzer/symbolize/symbol_index.hpp"

#include <algorithm>
#include <cstring>
#include <tuple>

namespace leak::analyzer {
namespace {

// Hand-written assembler often gives its symbols no size; so far behind one of those its name is still believed.
constexpr uint64_t kUnsizedReachBytes = 4096;
// Nested or overlapping symbols are rare: so many are looked at before the nearest one.
constexpr int kOverlapsLookedAt = 8;

// Global names before weak before local, names without leading underscores first: `malloc` rather than `__libc_malloc`.
uint8_t rank_of(const GElf_Sym& symbol, const char* name)
{
    const auto bind = GELF_ST_BIND(symbol.st_info);
    const uint8_t by_bind = bind == STB_GLOBAL ? 0 : bind == STB_WEAK ? 1 : 2;
    const bool reserved = name[0] == '_' && !(name[1] == 'Z' || name[1] == 'R');
    return static_cast<uint8_t>((reserved ? 4 : 0) + by_bind);
}

} // namespace

SymbolIndex::SymbolIndex(Dwfl_Module* module, SymbolKind kind)
{
    const int count = dwfl_module_getsymtab(module);
    for (int i = 1; i < count; ++i) {
        GElf_Sym symbol;
        GElf_Addr address = 0;
        GElf_Word section = 0;
        const char* name = dwfl_module_getsym_info(module, i, &symbol, &address, &section, nullptr, nullptr);
        const auto type = GELF_ST_TYPE(symbol.st_info);
        if (name == nullptr || *name == '\0' || section == SHN_UNDEF || address == 0) {
            continue;
        }
        // The start-up files' unsized symbols (frame_dummy, _init) would claim everything up to the next name.
        const bool start_up =
            symbol.st_size == 0 && (GELF_ST_BIND(symbol.st_info) == STB_LOCAL || std::strcmp(name, "_init") == 0 ||
                                    std::strcmp(name, "_fini") == 0);
        // A variable without a size would claim what lies behind it.
        const bool is_wanted = kind == SymbolKind::function ? (type == STT_FUNC || type == STT_GNU_IFUNC) && !start_up
                                                            : type == STT_OBJECT && symbol.st_size > 0;
        if (is_wanted) {
            symbols_.push_back({address, address + symbol.st_size, name, rank_of(symbol, name)});
        }
    }
    std::ranges::sort(symbols_, [](const Symbol& left, const Symbol& right) {
        return std::tuple(left.start, left.rank, std::strcmp(left.name, right.name)) <
               std::tuple(right.start, right.rank, 0);
    });
    const auto same_start = std::ranges::unique(symbols_, {}, &Symbol::start);
    symbols_.erase(same_start.begin(), same_start.end());
    symbols_.shrink_to_fit();
}

const char* SymbolIndex::find(uint64_t address, uint64_t* start) const
{
    auto candidate = std::ranges::upper_bound(symbols_, address, {}, &Symbol::start);
    for (int i = 0; i < kOverlapsLookedAt && candidate != symbols_.begin(); ++i) {
        --candidate;
        const bool sized = candidate->end > candidate->start;
        if (sized ? address < candidate->end : i == 0 && address - candidate->start < kUnsizedReachBytes) {
            if (start != nullptr) *start = candidate->start;
            return candidate->name;
        }
    }
    return nullptr;
}

} // namespace leak::analyzer
