#include "analyzer/cli/commands.hpp"
#include "analyzer/cli/output.hpp"
#include "analyzer/cli/report_work.hpp"
#include "analyzer/render/diff_json.hpp"
#include "analyzer/render/diff_text.hpp"

#include <CLI/CLI.hpp>
#include <memory>

namespace leak::analyzer {
namespace {

struct Arguments {
    ReportOptions report;
    std::string before;
    std::string after;
    bool all = false;
};

void write_diff(const Arguments& arguments)
{
    const Suppressions suppressions = arguments.report.suppressions();
    Output output(arguments.report.output);
    // A small site may have grown from a large one: the bound holds for the change, not for either side.
    ReportOptions sides = arguments.report;
    sides.min_bytes = 0;
    const LeakDiff diff = make_leak_diff(read_report(arguments.before, sides, suppressions),
                                         read_report(arguments.after, sides, suppressions), arguments.report.sites());
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
    command->add_option("BEFORE", arguments->before, "Trace to compare with")->required();
    command->add_option("AFTER", arguments->after, "Trace to compare")->required();
    add_report_options(*command, arguments->report);
    command->add_flag("--all", arguments->all, "Show places that did not change too");
    command->callback([arguments, &status] {
        write_diff(*arguments);
        status = kDone;
    });
}

} // namespace leak::analyzer
