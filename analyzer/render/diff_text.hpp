// `leakan diff` as text.
//
// One thread.
#pragma once

#include "analyzer/render/text_style.hpp"
#include "analyzer/report/leak_diff.hpp"

#include <ostream>

namespace leak::analyzer {

void write_diff_text(std::ostream& out, const LeakDiff& diff, const TextStyle& style);

} // namespace leak::analyzer
