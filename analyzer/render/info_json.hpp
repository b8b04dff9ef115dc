// `leakan info --format json`: schema leakan.info.v1.
//
// One thread.
#pragma once

#include "analyzer/render/json_parts.hpp"
#include "analyzer/report/trace_facts.hpp"

namespace leak::analyzer {

[[nodiscard]] Json info_json(const TraceFacts& facts);

} // namespace leak::analyzer
