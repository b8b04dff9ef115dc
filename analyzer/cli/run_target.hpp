// The program that `leakan run` is asked to start: where it is, and whether it can be traced at all.
//
// One thread.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

namespace leak::analyzer {

// The file execvp(3) would start for `program`; nothing when there is none.
[[nodiscard]] std::optional<std::filesystem::path> find_program(const std::string& program);

// Why LD_PRELOAD will have no effect on `file` (statically linked, set-user-ID, 32-bit, ...), as one line for the user;
// nothing when it can be traced. Of a script the interpreter is looked at.
[[nodiscard]] std::optional<std::string> why_untraceable(const std::filesystem::path& file);

} // namespace leak::analyzer
