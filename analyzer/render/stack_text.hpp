// A stack as lines of text: the program's own frames, runs of library frames folded to one line each.
//
// One thread.
#pragma once

#include "analyzer/render/paint.hpp"
#include "analyzer/symbolize/symbolizer.hpp"

#include <ostream>
#include <string>
#include <string_view>
#include <vector>

namespace leak::analyzer {

struct StackStyle {
    Paint paint;
    bool full = false;             // no folding, no shortening
    std::string exe;               // the program: never a library
    std::string working_directory; // paths below it are shown relative to it
    std::string indent = "     ";
    size_t max_lines = 10; // unless `full`
    bool tell_rest = true; // one more line says how many frames are left out
};

void write_stack(std::ostream& out, const std::vector<Frame>& frames, const StackStyle& style);

// "Session::track", "ls+0x5f21"; long template arguments become <...> unless `full`.
[[nodiscard]] std::string function_text(const Frame& frame, bool full);

// "src/session.cpp:88", "libssl.so.3", or nothing.
[[nodiscard]] std::string place_text(const Frame& frame, const StackStyle& style);

// `name` with its template arguments left out from the deepest level on until it fits, if it can.
[[nodiscard]] std::string elide_template_arguments(std::string_view name, size_t length);

} // namespace leak::analyzer
