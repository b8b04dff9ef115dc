// Whose code a frame is: the program's own, or a library's. Decides what reports show first and what suppressions hide.
//
// Pure functions, any thread.
#pragma once

#include "analyzer/symbolize/symbolizer.hpp"

#include <string_view>
#include <vector>

namespace leak::analyzer {

// "libc.so.6" of "/lib/x86_64-linux-gnu/libc.so.6".
[[nodiscard]] std::string_view base_name(std::string_view path);

[[nodiscard]] bool is_loader(std::string_view module);      // ld-linux-*.so, ld-musl-*.so, ld.so
[[nodiscard]] bool is_libc(std::string_view module);        // libc and what glibc once kept apart (libpthread, libdl)
[[nodiscard]] bool is_cxx_runtime(std::string_view module); // libstdc++, libc++, libgcc_s and theirs

// A frame of the libraries: its module is a system library (not `exe` itself), or it was inlined from a system header
// or Rust's standard library.
[[nodiscard]] bool is_library_frame(const Frame& frame, std::string_view exe);

// The frame that stands for a stack: the innermost one of the program's own code, else the innermost. stack: not empty.
[[nodiscard]] const Frame& deciding_frame(const std::vector<Frame>& stack, std::string_view exe);

// How many frames are left of a stack without the start-up code below main() and below a thread's function, which is of
// no interest; all of them where nothing else would be left.
[[nodiscard]] size_t frames_above_entry(const std::vector<Frame>& stack);

// Code of the C++ or Rust standard library, by its name.
[[nodiscard]] bool is_standard_name(std::string_view function);

// Code of libc, the loader, or the C++ or Rust standard library: says nothing about who did what.
[[nodiscard]] bool is_runtime_frame(const Frame& frame);

// A library that replaces malloc: what it maps for itself is the allocator's, not the program's.
[[nodiscard]] bool is_allocator_library(std::string_view path);

} // namespace leak::analyzer
