// The line above a table: what it lists, and how much of it is shown.
//
// Pure functions, any thread.
#pragma once

#include "analyzer/render/paint.hpp"

#include <cstddef>
#include <string>
#include <string_view>

namespace leak::analyzer {

// "UNFREED  5 of 19 stacks shown", behind an empty line. noun: of one of them.
[[nodiscard]] std::string heading(const Paint& paint, const std::string& title, size_t shown, size_t all,
                                  std::string_view noun);

} // namespace leak::analyzer
