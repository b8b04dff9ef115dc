// Where the trace goes: the name from LEAK_OUT, a directory that can be written, a file that did not exist before.
//
// No allocation; uses a few pages of stack or static memory, so called from slow paths only.
#pragma once

#include "preload/settings.hpp"
#include "preload/text.hpp"

#include <cstdint>
#include <string_view>

namespace leak::preload {

// The executable's path as the kernel knows it, without " (deleted)"; empty where /proc is missing.
void executable_path(Path& path) noexcept;
[[nodiscard]] std::string_view base_name(std::string_view path) noexcept;

// `relative` as an absolute path by the working directory; unchanged where that is not known.
void make_absolute(std::string_view relative, Path& path) noexcept;

// Creates the trace file and says its absolute path. Returns a descriptor open for reading and writing, or the -errno
// of the first attempt. The file is new, a regular file, mode 0600.
[[nodiscard]] int create_trace_file(const Settings& settings, std::string_view executable, uint32_t pid,
                                    uint64_t start_unix_ns, Path& path) noexcept;

} // namespace leak::preload
