// Whose code a frame is: the program's own, or a library's. Decides what reports show first and what suppressions hide.
//
// Pure functions, any thread.
#pragma once

#include "analyzer/symbolize/symbolizer.hpp"

#include <string_view>

namespace leak::analyzer {

// "libc.so.6" of "/lib/x86_64-linux-gnu/libc.so.6".
[[nodiscard]] std::string_view base_name(std::string_view path);

[[nodiscard]] bool is_loader(std::string_view module);      // ld-linux-*.so, ld-musl-*.so, ld.so
[[nodiscard]] bool is_libc(std::string_view module);        // libc and what glibc once kept apart (libpthread, libdl)
[[nodiscard]] bool is_cxx_runtime(std::string_view module); // libstdc++, libc++, libgcc_s and theirs

// A frame of the libraries: its module is a system library (not `exe` itself), or it was inlined from a system header
// or Rust's standard library.
[[nodiscard]] bool is_library_frame(const Frame& frame, std::string_view exe);

// Start-up code below main() and below a thread's function: of no interest where an own frame is shown.
[[nodiscard]] bool is_entry_frame(const Frame& frame);

} // namespace leak::analyzer
