// `leakan report` as text: the verdict, the summary, the evidence, and what is missing.
//
// One thread.
#pragma once

#include "analyzer/render/text_style.hpp"
#include "analyzer/report/leak_report.hpp"

#include <ostream>

namespace leak::analyzer {

void write_report_text(std::ostream& out, const LeakReport& report, const TextStyle& style);

} // namespace leak::analyzer
