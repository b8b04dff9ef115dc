// `leakan report --format json`: schema leakan.report.v1.
//
// One thread.
#pragma once

#include "analyzer/render/json_parts.hpp"
#include "analyzer/report/leak_report.hpp"

#include <limits>

namespace leak::analyzer {

// At most `top` sites; the summary counts all.
[[nodiscard]] Json report_json(const LeakReport& report, size_t top = std::numeric_limits<size_t>::max());

} // namespace leak::analyzer
