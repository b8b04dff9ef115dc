#include "analyzer/symbolize/module_file.hpp"

#include "analyzer/symbolize/demangle.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>
#include <gelf.h>
#include <utility>

namespace leak::analyzer {
namespace {

// find_elf is never called (files are reported by name); the debug file is found by build-id, .gnu_debuglink and, if
// the user has set DEBUGINFOD_URLS, debuginfod.
const Dwfl_Callbacks kCallbacks = {
    .find_elf = dwfl_build_id_find_elf,
    .find_debuginfo = dwfl_standard_find_debuginfo,
    .section_address = dwfl_offline_section_address,
    .debuginfo_path = nullptr,
};

// Where distributions install the debug file of a build-id.
std::string debug_file_of(const std::vector<uint8_t>& build_id)
{
    constexpr std::string_view digits = "0123456789abcdef";
    std::string path = "/usr/lib/debug/.build-id/";
    for (size_t i = 0; i < build_id.size(); ++i) {
        path += digits[build_id[i] >> 4];
        path += digits[build_id[i] & 15];
        path += i == 0 ? "/" : "";
    }
    return path + ".debug";
}

// .symtab has the versions of symbols in their names: pthread_create@@GLIBC_2.34.
std::string demangle_symbol(std::string_view symbol)
{
    return demangle(std::string(symbol.substr(0, symbol.find('@'))).c_str());
}

} // namespace

ModuleFile::ModuleFile(std::string path, std::vector<uint8_t> build_id)
    : path_(std::move(path)), build_id_(std::move(build_id))
{
}

bool ModuleFile::open_file(const std::string& file)
{
    std::error_code ignored;
    if (!std::filesystem::is_regular_file(file, ignored)) {
        return false;
    }
    session_.reset(dwfl_begin(&kCallbacks));
    if (!session_) {
        return false;
    }
    dwfl_report_begin(session_.get());
    // With base 0 and the program headers' addresses added, libdwfl's addresses are the file's own.
    module_ = dwfl_report_elf(session_.get(), "module", file.c_str(), -1, 0, true);
    dwfl_report_end(session_.get(), nullptr, nullptr);
    if (module_ == nullptr) {
        session_.reset();
        return false;
    }
    const unsigned char* bits = nullptr;
    GElf_Addr address = 0;
    const int length = dwfl_module_build_id(module_, &bits, &address);
    const bool same = build_id_.empty() || (length >= 0 && std::cmp_equal(length, build_id_.size()) &&
                                            std::equal(build_id_.begin(), build_id_.end(), bits));
    if (!same) {
        module_ = nullptr;
        session_.reset();
        state_.build_id_differs = true;
    }
    return same;
}

void ModuleFile::open()
{
    if (std::exchange(opened_, true) || !path_.starts_with('/')) {
        return; // [vdso] and the like have no file
    }
    state_.file_found = open_file(path_);
    if (!state_.file_found && !build_id_.empty()) {
        const bool differed = state_.build_id_differs;
        state_.file_found = open_file(debug_file_of(build_id_));
        state_.build_id_differs = differed;
    }
}

void ModuleFile::read_dwarf()
{
    open();
    if (std::exchange(dwarf_read_, true) || module_ == nullptr) {
        return;
    }
    if (Dwarf* dwarf = dwfl_module_getdwarf(module_, &dwarf_bias_)) {
        dwarf_.emplace(dwarf);
        state_.has_lines = true;
    }
    symbols_.emplace(module_, SymbolKind::function);
    state_.has_symbols = !symbols_->empty() || state_.has_lines;
    const char* main_file = nullptr;
    const char* debug_file = nullptr;
    dwfl_module_info(module_, nullptr, nullptr, nullptr, nullptr, nullptr, &main_file, &debug_file);
    if (debug_file != nullptr && (main_file == nullptr || std::strcmp(main_file, debug_file) != 0)) {
        state_.debug_file = debug_file;
    }
}

std::string ModuleFile::symbol_name(uint64_t address) const
{
    const char* symbol = symbols_ ? symbols_->find(address) : nullptr;
    return symbol == nullptr ? std::string() : demangle_symbol(symbol);
}

Variable ModuleFile::find_variable(uint64_t address)
{
    read_dwarf();
    if (module_ == nullptr) return {};
    if (!variables_) variables_.emplace(module_, SymbolKind::variable);
    uint64_t start = 0;
    const char* symbol = variables_->find(address, &start);
    return symbol == nullptr ? Variable{} : Variable{demangle_symbol(symbol), address - start};
}

std::vector<CodeName> ModuleFile::find(uint64_t address)
{
    read_dwarf();
    std::vector<CodeName> names;
    if (dwarf_) {
        names = dwarf_->find(address - dwarf_bias_);
    }
    if (!names.empty() && names.back().qualified) {
        return names;
    }
    std::string by_symbol = symbol_name(address);
    if (by_symbol.empty()) {
        return names;
    }
    if (names.empty()) {
        names.push_back({.function = std::move(by_symbol), .qualified = true});
    } else {
        // The symbol table may know a better name: the scope where DWARF has none, or the one a C function is called
        // by (printf for __printf). Its suffixes of clones (f.part.0) are no part of a name.
        std::string& name = names.back().function;
        if (name.empty() || (by_symbol.find("::") != std::string::npos && name.find("::") == std::string::npos) ||
            (name.starts_with('_') && !by_symbol.starts_with('_') && by_symbol.find('.') == std::string::npos)) {
            name = by_symbol;
        }
    }
    return names;
}

bool ModuleFile::is_signal_return(uint64_t address)
{
    // mov $__NR_rt_sigreturn, %rax; syscall: what unwinders recognise __restore_rt by on x86-64.
    constexpr std::array<unsigned char, 9> code = {0x48, 0xc7, 0xc0, 0x0f, 0x00, 0x00, 0x00, 0x0f, 0x05};
    open();
    if (module_ == nullptr) {
        return false;
    }
    Dwarf_Addr in_section = address;
    Dwarf_Addr bias = 0;
    Elf_Scn* section = dwfl_module_address_section(module_, &in_section, &bias);
    const Elf_Data* data = section == nullptr ? nullptr : elf_rawdata(section, nullptr);
    return data != nullptr && data->d_buf != nullptr && in_section <= data->d_size &&
           data->d_size - in_section >= code.size() &&
           std::memcmp(static_cast<const char*>(data->d_buf) + in_section, code.data(), code.size()) == 0;
}

ModuleSymbols ModuleFile::symbols()
{
    read_dwarf();
    return state_;
}

} // namespace leak::analyzer
