#include "analyzer/cli/commands.hpp"
#include "analyzer/cli/report_work.hpp"

#include <CLI/CLI.hpp>
#include <memory>

namespace leak::analyzer {
namespace {

struct Arguments {
    ReportOptions report;
    std::vector<std::string> traces;
    std::string fail_on;
};

} // namespace

void add_report_command(CLI::App& app, int& status)
{
    auto arguments = std::make_shared<Arguments>();
    CLI::App* command = app.add_subcommand("report", "Say what a program left unfreed, and where it was allocated");
    command->add_option("TRACE", arguments->traces, "Trace files")->required();
    add_report_options(*command, arguments->report);
    command->add_option("--fail-on", arguments->fail_on, "leaks: exit with status 1 when anything is unfreed")
        ->check(CLI::IsMember({"leaks"}));
    command->callback([arguments, &status] {
        const bool findings = write_reports(arguments->traces, arguments->report);
        status = findings && arguments->fail_on == "leaks" ? kFindings : kDone;
    });
}

} // namespace leak::analyzer
