// From a trace file to its report: what `leakan report` and `leakan run --report` both do.
//
// One thread.
#pragma once

#include "analyzer/cli/core_options.hpp"
#include "analyzer/cli/report_options.hpp"
#include "analyzer/report/leak_report.hpp"

#include <string>
#include <vector>

namespace leak::analyzer {

// Replays `trace`, with a progress display. Throws UserError when it can't be used.
[[nodiscard]] ReplayResult replay(const std::string& trace);
// The same with the memory of its snapshot, or of a core where one is given.
[[nodiscard]] ReplayResult replay_with_memory(const std::string& trace, const CoreOptions& core);

// Replays and symbolises `trace`. Throws UserError when it can't be used.
[[nodiscard]] LeakReport read_report(const std::string& trace, const ReportOptions& options,
                                     const Suppressions& suppressions);

// The same of a trace that was replayed.
[[nodiscard]] LeakReport report_of(const ReplayResult& replayed, Symbolizer& symbolizer, const ReportOptions& options,
                                   const Suppressions& suppressions);

// What reports have, for --fail-on.
struct ReportFindings {
    bool has_unfreed = false;
    bool has_unreachable = false;

    void add(const LeakReport& report);
};

// Writes the reports of `traces`, one after the other. Returns what any of them has.
ReportFindings write_reports(const std::vector<std::string>& traces, const ReportOptions& options);

} // namespace leak::analyzer
