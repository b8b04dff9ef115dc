// A GrowthReport as text: of its own, and as a section of `leakan report`.
//
// One thread.
#pragma once

#include "analyzer/render/text_style.hpp"
#include "analyzer/report/growth.hpp"

#include <ostream>

namespace leak::analyzer {

void write_growth_text(std::ostream& out, const GrowthReport& report, const TextStyle& style);

// The sites, for the report; nothing where none is worth a word.
void write_growth_section(std::ostream& out, const GrowthReport& report, const TextStyle& style);

} // namespace leak::analyzer
