#include "analyzer/cli/commands.hpp"
#include "analyzer/cli/output.hpp"
#include "analyzer/cli/parse_time.hpp"
#include "analyzer/cli/report_work.hpp"
#include "analyzer/render/diff_json.hpp"
#include "analyzer/render/diff_text.hpp"
#include "analyzer/render/words.hpp"
#include "analyzer/report/moment.hpp"
#include "analyzer/report/process_samples.hpp"
#include "analyzer/user_error.hpp"

#include <CLI/CLI.hpp>
#include <memory>

namespace leak::analyzer {
namespace {

struct Arguments {
    ReportOptions report;
    std::vector<std::string> traces;
    std::vector<std::string> at;
    bool all = false;
};

LeakDiff diff_traces(const Arguments& arguments, const ReportOptions& sides, const Suppressions& suppressions)
{
    if (arguments.traces.size() != 2) throw UserError("diff takes two traces, or one and two moments (--at)");
    return make_leak_diff(read_report(arguments.traces[0], sides, suppressions),
                          read_report(arguments.traces[1], sides, suppressions), arguments.report.sites());
}

LeakDiff diff_moments(const Arguments& arguments, const ReportOptions& sides, const Suppressions& suppressions)
{
    if (arguments.traces.size() != 1 || arguments.at.size() != 2)
        throw UserError("--at is given twice, with one trace: the moments to compare");
    if (sides.by == "thread" || sides.by == "size")
        throw UserError("--by " + sides.by + " can't be combined with --at: the history knows stacks only");
    const int64_t moments[] = {parse_time(arguments.at[0]), parse_time(arguments.at[1])};
    ReplayResult replayed = replay(arguments.traces[0]);
    Symbolizer symbolizer(replayed.modules);
    const int64_t end_ns = end_of_run(replayed);
    const Histories histories(replayed.accounts, end_ns);
    const auto report_at = [&](int64_t at_ns) {
        if (at_ns > end_ns)
            throw UserError(arguments.traces[0] + ": the run has lasted " + time_words(end_ns) + ", --at asks for " +
                            time_words(at_ns));
        replayed.unfreed = blocks_at(replayed, histories, at_ns);
        LeakReport report = report_of(replayed, symbolizer, sides, suppressions);
        report.at_ns = at_ns;
        return report;
    };
    LeakReport before = report_at(moments[0]);
    return make_leak_diff(std::move(before), report_at(moments[1]), arguments.report.sites());
}

void write_diff(const Arguments& arguments)
{
    const Suppressions suppressions = arguments.report.suppressions();
    Output output(arguments.report.output);
    // A small site may have grown from a large one: the bound holds for the change, not for either side.
    ReportOptions sides = arguments.report;
    sides.min_bytes = 0;
    sides.growth = false;
    const LeakDiff diff = arguments.at.empty() ? diff_traces(arguments, sides, suppressions)
                                               : diff_moments(arguments, sides, suppressions);
    if (arguments.report.json()) {
        write_json(output.stream(), diff_json(diff, arguments.report.json_top()));
    } else {
        TextStyle style = arguments.report.text_style(output.paint(arguments.report.color));
        style.all = arguments.all;
        write_diff_text(output.stream(), diff, style);
    }
    output.finish();
}

} // namespace

void add_diff_command(CLI::App& app, int& status)
{
    auto arguments = std::make_shared<Arguments>();
    CLI::App* command = app.add_subcommand("diff", "Say what changed between two traces, of one build or of two");
    command
        ->add_option("TRACES", arguments->traces, "Trace to compare with, and trace to compare; with --at: one trace")
        ->type_name("BEFORE AFTER")
        ->required()
        ->expected(1, 2);
    command
        ->add_option("--at", arguments->at,
                     "Compare two moments of one trace, TIME after its start (90, 1.5s, 250ms, 3min, 2h, 1d)")
        ->type_name("TIME")
        ->expected(1)
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
    add_report_options(*command, arguments->report);
    command->add_flag("--all", arguments->all, "Show places that did not change too");
    command->callback([arguments, &status] {
        write_diff(*arguments);
        status = kDone;
    });
}

} // namespace leak::analyzer
