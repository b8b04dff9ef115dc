#include "analyzer/cli/report_work.hpp"

#include "analyzer/cli/output.hpp"
#include "analyzer/cli/progress.hpp"
#include "analyzer/render/report_json.hpp"
#include "analyzer/render/report_text.hpp"
#include "analyzer/replay/replay.hpp"
#include "analyzer/report/fragmentation.hpp"

#include <spdlog/spdlog.h>

namespace leak::analyzer {

namespace {

ReplayResult replay(const std::string& trace, ReplayOptions options)
{
    Progress progress("reading " + trace);
    options.on_progress = progress.callback();
    ReplayResult replayed = replay_trace(trace, options);
    progress.clear();
    spdlog::debug("{}: {} unfreed blocks, {} stacks, {} modules", trace, replayed.unfreed.size(),
                  replayed.stacks.size(), replayed.modules.size());
    return replayed;
}

} // namespace

ReplayResult replay(const std::string& trace)
{
    return replay(trace, ReplayOptions{});
}

ReplayResult replay_with_memory(const std::string& trace, const CoreOptions& core)
{
    return replay(trace, {.wants_memory = true, .core = core.source()});
}

LeakReport read_report(const std::string& trace, const ReportOptions& options, const Suppressions& suppressions)
{
    const ReplayResult replayed = replay_with_memory(trace, options.core);
    Symbolizer symbolizer(replayed.modules);
    LeakReport report = report_of(replayed, symbolizer, options, suppressions);
    const bool is_asked = report.growth.process.cause == GrowthCause::allocator;
    if (is_asked && may_be_fragmented(report.growth)) add_fragmentation(report.growth);
    return report;
}

LeakReport report_of(const ReplayResult& replayed, Symbolizer& symbolizer, const ReportOptions& options,
                     const Suppressions& suppressions)
{
    LeakReport report = make_leak_report(replayed, symbolizer, suppressions, options.report());
    for (const MissingSymbols& missing : report.missing_symbols) {
        spdlog::debug("{}: no {}", missing.module, missing.symbols.file_found ? "line information" : "usable file");
    }
    return report;
}

void ReportFindings::add(const LeakReport& report)
{
    has_unfreed = has_unfreed || report.unfreed.blocks > 0;
    has_unreachable = has_unreachable || report.unfreed.class_blocks[static_cast<size_t>(BlockClass::unreachable)] > 0;
}

ReportFindings write_reports(const std::vector<std::string>& traces, const ReportOptions& options)
{
    options.core.check(traces.size());
    const Suppressions suppressions = options.suppressions();
    Output output(options.output);
    const TextStyle style = options.text_style(output.paint(options.color));
    Json all = Json::array();
    ReportFindings findings;
    for (size_t i = 0; i < traces.size(); ++i) {
        const LeakReport report = read_report(traces[i], options, suppressions);
        findings.add(report);
        if (options.json()) {
            all.push_back(report_json(report, options.json_top()));
        } else {
            output.stream() << (i == 0 ? "" : "\n\n");
            write_report_text(output.stream(), report, style);
        }
    }
    if (options.json()) {
        write_json(output.stream(),
                   traces.size() == 1 ? all.front() : Json{{"schema", "leakan.reports.v1"}, {"reports", all}});
    }
    output.finish();
    return findings;
}

} // namespace leak::analyzer
