// `leakan info` as text.
//
// One thread.
#pragma once

#include "analyzer/render/paint.hpp"
#include "analyzer/report/trace_facts.hpp"

#include <ostream>

namespace leak::analyzer {

void write_info_text(std::ostream& out, const TraceFacts& facts, const Paint& paint);

} // namespace leak::analyzer
