// The parts that the JSON reports share. Keys are stable: within a schema they are added, never changed or removed.
//
// One thread.
#pragma once

#include "analyzer/report/leak_report.hpp"

#include <nlohmann/json.hpp>
#include <ostream>

namespace leak::analyzer {

// Keys come out in the order of the documentation.
using Json = nlohmann::ordered_json;

[[nodiscard]] Json frames_json(const std::vector<Frame>& frames);
[[nodiscard]] Json marks_json(const TraceInfo& info);
[[nodiscard]] Json trace_json(const TraceInfo& info);
[[nodiscard]] Json sample_json(const ProcessSample& sample);        // figures that are not known are null
[[nodiscard]] Json core_json(const std::optional<CoreFacts>& core); // null where there is none
[[nodiscard]] Json summary_json(const LeakReport& report);

// Paths and names of a traced process may hold any bytes: what is no UTF-8 becomes U+FFFD.
void write_json(std::ostream& out, const Json& json);
void write_json_line(std::ostream& out, const Json& json); // without line breaks

} // namespace leak::analyzer
