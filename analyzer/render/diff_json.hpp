// `leakan diff --format json`: schema leakan.diff.v1.
//
// One thread.
#pragma once

#include "analyzer/render/json_parts.hpp"
#include "analyzer/report/leak_diff.hpp"

namespace leak::analyzer {

// At most `top` sites, unchanged ones last.
[[nodiscard]] Json diff_json(const LeakDiff& diff, size_t top);

} // namespace leak::analyzer
