// Times as users write them.
//
// Pure functions, any thread.
#pragma once

#include <cstdint>
#include <string>

namespace leak::analyzer {

// "90", "90s", "1.5s", "250ms", "3min", "2h", "1d": nanoseconds since the start, at most 1e18. Throws UserError.
[[nodiscard]] int64_t parse_time(const std::string& text);

} // namespace leak::analyzer
