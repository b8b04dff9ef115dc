// Finds the trace of a running process by what it has mapped.
//
// One thread. Only reads /proc: the process notices nothing.
#pragma once

#include <filesystem>
#include <string>

namespace leak::analyzer {

// `target`: a trace, or, where there is no such file, the number of a process. Throws UserError when it has no trace,
// or can't be looked at.
[[nodiscard]] std::filesystem::path trace_of_target(const std::string& target);

} // namespace leak::analyzer
