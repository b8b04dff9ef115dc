// Entries of call frame information and what they say of a pc (DWARF 5, 6.4; LSB 5.0, 10.6).
//
// No allocation, no lock, no system call; about 1 KiB of stack.
#pragma once

#include "preload/cfi_reader.hpp"
#include "preload/unwind_rule.hpp"

#include <cstdint>

namespace leak::preload {

// A length-prefixed entry: a CIE or an FDE.
struct Entry {
    const uint8_t* id_at = nullptr; // tells a CIE from an FDE, and leads from an FDE to its CIE
    const uint8_t* end = nullptr;
    uint32_t id = 0;
};

// False where there is none before `limit`.
[[nodiscard]] bool read_entry(const uint8_t* at, const uint8_t* limit, Entry& entry) noexcept;

// A CIE.
struct CommonInformation {
    uint64_t code_factor = 1;
    int64_t data_factor = 1;
    uint64_t return_column = 16;
    uint8_t pointer_encoding = kAbsolute;
    bool has_augmentation_data = false;
    bool is_signal_frame = false;
    const uint8_t* program = nullptr;
    const uint8_t* program_end = nullptr;
};

// False where it has something that this reader does not know.
[[nodiscard]] bool read_common(const Entry& entry, CommonInformation& common) noexcept;

// What an FDE covers, and where its instructions begin; `end` is that of the entry.
struct Description {
    uint64_t start = 0;
    uint64_t bytes = 0;
    const uint8_t* program = nullptr;
    const uint8_t* program_end = nullptr;
};

[[nodiscard]] bool read_description(const Entry& entry, const CommonInformation& common,
                                    Description& description) noexcept;

// The rule at `pc`, which the description covers; Kind::none where it can't be said.
[[nodiscard]] UnwindRule rule_at(const CommonInformation& common, const Description& description, uint64_t pc) noexcept;

} // namespace leak::preload
