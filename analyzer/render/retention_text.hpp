// A RetentionReport as text: of its own, and as a section of `leakan report`.
//
// One thread.
#pragma once

#include "analyzer/render/text_style.hpp"
#include "analyzer/report/retention.hpp"

#include <ostream>

namespace leak::analyzer {

void write_retention_text(std::ostream& out, const RetentionReport& report, const TextStyle& style);

// The sites, for the report; nothing where there are none.
void write_retention_section(std::ostream& out, const RetentionReport& report, const TextStyle& style);

} // namespace leak::analyzer
