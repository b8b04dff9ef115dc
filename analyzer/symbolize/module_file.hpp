// One module's file on disk, with its separate debug file where there is one, opened by libdwfl.
//
// One thread. The file is opened at the first question; symbols and DWARF are read when an address is asked for.
#pragma once

#include "analyzer/symbolize/dwarf_index.hpp"
#include "analyzer/symbolize/symbol_index.hpp"
#include "analyzer/symbolize/symbolizer.hpp"

#include <elfutils/libdwfl.h>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace leak::analyzer {

class ModuleFile {
public:
    // A file whose build-id differs from `build_id` is not used; an empty `build_id` takes what is at the path.
    ModuleFile(std::string path, std::vector<uint8_t> build_id);

    // The functions at `address` (as in the file's program headers), innermost first; empty: nothing is known.
    [[nodiscard]] std::vector<CodeName> find(uint64_t address);

    // The variable at `address`; no name: none is known.
    [[nodiscard]] Variable find_variable(uint64_t address);

    // There is the code of a signal trampoline at `address`: what it "called" was interrupted, not a call.
    [[nodiscard]] bool is_signal_return(uint64_t address);

    // Looks for debug information if that has not been done.
    [[nodiscard]] ModuleSymbols symbols();

    [[nodiscard]] const std::string& path() const { return path_; }

private:
    struct DwflDeleter {
        void operator()(Dwfl* session) const noexcept { dwfl_end(session); }
    };

    void open();
    bool open_file(const std::string& file);
    void read_dwarf();
    [[nodiscard]] std::string symbol_name(uint64_t address) const; // empty: none

    std::string path_;
    std::vector<uint8_t> build_id_;
    ModuleSymbols state_;
    bool opened_ = false;
    bool dwarf_read_ = false;
    std::unique_ptr<Dwfl, DwflDeleter> session_;
    Dwfl_Module* module_ = nullptr; // owned by session_; null: no usable file
    Dwarf_Addr dwarf_bias_ = 0;
    std::optional<DwarfIndex> dwarf_;
    std::optional<SymbolIndex> symbols_;
    std::optional<SymbolIndex> variables_; // read when one is asked for
};

} // namespace leak::analyzer
