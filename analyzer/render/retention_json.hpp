// `leakan retention --format json`: schema leakan.retention.v1, and the section `retention` of reports.
//
// One thread.
#pragma once

#include "analyzer/render/json_parts.hpp"
#include "analyzer/report/retention.hpp"

namespace leak::analyzer {

// The sites, `top` of them at most.
[[nodiscard]] Json retention_section_json(const RetentionReport& report, size_t top);

[[nodiscard]] Json retention_json(const RetentionReport& report, size_t top);

} // namespace leak::analyzer
