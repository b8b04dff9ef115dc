// Unwind rules from the .debug_frame of a module's file (DWARF 5, 6.4.1): for code that has no .eh_frame, but debug
// information.
//
// The section is not loaded with the code, so it is read from the file, once, and kept in memory of ours together with
// a table of its functions. Under the state lock, on a private stack; no allocation but mappings.
#pragma once

#include "preload/unwind_rule.hpp"

#include <cstddef>
#include <cstdint>
#include <span>

namespace leak::preload {

class DebugFrame {
public:
    // Reads the section of the file at `path`. first_page: the front of the module in memory, which the file's must be
    // the same as: another file may have taken its place. Leaves nothing behind where there is no such section, or a
    // compressed one, or no memory.
    void load(const char* path, std::span<const std::byte> first_page) noexcept;
    void unload() noexcept;
    [[nodiscard]] bool empty() const noexcept { return functions_.empty(); }

    // The same for a section that is in memory already and stays there. False: no memory, or nothing in it.
    [[nodiscard]] bool index(std::span<const uint8_t> section) noexcept;

    // The rule at `pc`, one below a return address, as an address in the file; Kind::none where it is not described.
    [[nodiscard]] UnwindRule rule(uint64_t pc) const noexcept;

private:
    struct Function {
        uint64_t start;
        uint64_t offset; // of its entry in the section
    };

    [[nodiscard]] static bool read_section(int fd, std::span<const std::byte> first_page,
                                           std::span<uint8_t>& section) noexcept;
    // Calls visit(function) for each function that is described.
    template <typename Visit> void for_each(Visit&& visit) const noexcept;

    std::span<const uint8_t> section_; // mapped by load()
    std::span<Function> functions_;    // by their start
};

} // namespace leak::preload
