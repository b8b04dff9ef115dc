// A Timeline as comma-separated values: one row a moment, for spreadsheets and plotting tools.
//
// One thread.
#pragma once

#include "analyzer/report/timeline.hpp"

#include <ostream>

namespace leak::analyzer {

// `rows` moments, evenly spaced. Figures that were not asked for by then are empty.
void write_timeline_csv(std::ostream& out, const Timeline& timeline, size_t rows);

} // namespace leak::analyzer
