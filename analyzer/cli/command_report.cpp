#include "analyzer/cli/commands.hpp"
#include "analyzer/cli/follow.hpp"
#include "analyzer/cli/report_work.hpp"
#include "analyzer/user_error.hpp"

#include <CLI/CLI.hpp>
#include <memory>

namespace leak::analyzer {
namespace {

struct Arguments {
    ReportOptions report;
    std::vector<std::string> traces;
    std::string fail_on;
    bool follow = false;
    double interval_seconds = kDefaultInterval;
};

ReportFindings write(const Arguments& arguments)
{
    if (!arguments.follow) return write_reports(arguments.traces, arguments.report);
    if (arguments.traces.size() != 1) throw UserError("--follow takes one trace; follow each by a leakan of its own");
    return follow_report(arguments.traces.front(), arguments.report, arguments.interval_seconds);
}

} // namespace

void add_report_command(CLI::App& app, int& status)
{
    auto arguments = std::make_shared<Arguments>();
    CLI::App* command = app.add_subcommand("report", "Say what a program left unfreed, and where it was allocated");
    command->add_option("TRACE", arguments->traces, "Trace files")->required();
    add_report_options(*command, arguments->report);
    add_stacks_option(*command, arguments->report);
    command
        ->add_option("--fail-on", arguments->fail_on,
                     "leaks: exit with status 1 when anything is unfreed; unreachable: when something of it can't be "
                     "reached any more")
        ->check(CLI::IsMember({"leaks", "unreachable"}));
    CLI::Option* core = add_core_options(*command, arguments->report.core);
    CLI::Option* follow = command->add_flag("--follow", arguments->follow,
                                            "Write a new report again and again until the program ends, or Ctrl-C");
    follow->excludes(core);
    add_interval_option(*command, arguments->interval_seconds)->needs(follow);
    command->callback([arguments, &status] {
        const ReportFindings findings = write(*arguments);
        const bool fails = (arguments->fail_on == "leaks" && findings.has_unfreed) ||
                           (arguments->fail_on == "unreachable" && findings.has_unreachable);
        status = fails ? kFindings : kDone;
    });
}

} // namespace leak::analyzer
