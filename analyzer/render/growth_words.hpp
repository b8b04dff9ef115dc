// What a GrowthReport says, in sentences and single words: shared by text and JSON.
//
// Pure functions, any thread.
#pragma once

#include "analyzer/report/growth.hpp"

#include <string>
#include <string_view>

namespace leak::analyzer {

[[nodiscard]] std::string_view name_of(GrowthVerdict verdict); // "growing", ...
[[nodiscard]] std::string_view name_of(GrowthCause cause);     // "program", ...
[[nodiscard]] std::string_view name_of(PhaseKind kind);        // "load", ...
[[nodiscard]] std::string_view name_of(PhaseSource source);    // "found", ...

// The answer in one sentence, from its verb on: "2 stacks kept growing after the load stopped, ...".
[[nodiscard]] std::string growth_sentence(const GrowthReport& report);

// ", and 2 stacks kept growing after the load stopped"; empty where none did.
[[nodiscard]] std::string growing_words(const GrowthReport& report);

// Why the process is as large as it is, in one sentence; empty where nothing is known.
[[nodiscard]] std::string cause_sentence(const GrowthReport& report);

} // namespace leak::analyzer
