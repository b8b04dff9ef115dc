// `leakan growth --format json`: schema leakan.growth.v1, and the section `growth` of reports.
//
// One thread.
#pragma once

#include "analyzer/render/json_parts.hpp"
#include "analyzer/report/growth.hpp"

namespace leak::analyzer {

[[nodiscard]] Json phases_json(const std::vector<Phase>& phases);

[[nodiscard]] Json growth_section_json(const GrowthReport& report, size_t top);

// With the trace around it.
[[nodiscard]] Json growth_json(const GrowthReport& report, size_t top);

} // namespace leak::analyzer
