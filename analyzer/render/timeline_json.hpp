// A Timeline as JSON, schema leakan.timeline.v1.
//
// One thread.
#pragma once

#include "analyzer/render/json_parts.hpp"
#include "analyzer/report/timeline.hpp"

namespace leak::analyzer {

[[nodiscard]] Json timeline_json(const Timeline& timeline);

} // namespace leak::analyzer
