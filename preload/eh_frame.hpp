// Unwind rules from the tables that are loaded with the code: .eh_frame_hdr and .eh_frame.
//
// Bounds are checked where the caller gives them; the data is what the loader mapped, so an address in it is trusted.
// No allocation, no lock, no system call.
#pragma once

#include "preload/unwind_rule.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>

namespace leak::preload {

// Where a module's tables lie in memory.
struct FrameTables {
    const uint8_t* eh_frame_hdr = nullptr; // nullptr: none
    const uint8_t* end = nullptr;          // of the memory that may be read: the end of the module's mapping
};

// The rule for the instruction at `pc` (one below a return address); nothing where the tables don't describe it.
[[nodiscard]] std::optional<UnwindRule> rule_from_eh_frame(const FrameTables& tables, uint64_t pc) noexcept;

// The rule at a return address, from the tables of the module that is mapped there; nothing where they don't describe
// it, Kind::none where there is no module. Needs about 1 KiB of stack. The module must stay loaded meanwhile.
[[nodiscard]] std::optional<UnwindRule> find_unwind_rule(uint64_t return_address) noexcept;

} // namespace leak::preload
