// A Timeline as curves of block characters.
//
// One thread.
#pragma once

#include "analyzer/render/text_style.hpp"
#include "analyzer/report/timeline.hpp"

#include <ostream>

namespace leak::analyzer {

// columns: of the curves, at least 20.
void write_timeline_text(std::ostream& out, const Timeline& timeline, const TextStyle& style, size_t columns);

} // namespace leak::analyzer
