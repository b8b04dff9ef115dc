#include "analyzer/cli/commands.hpp"
#include "analyzer/cli/output.hpp"
#include "analyzer/cli/progress.hpp"
#include "analyzer/cli/report_options.hpp"
#include "analyzer/render/info_json.hpp"
#include "analyzer/render/info_text.hpp"

#include <CLI/CLI.hpp>
#include <memory>

namespace leak::analyzer {
namespace {

struct Arguments {
    std::string trace;
    std::string format = "text";
    std::string output;
    std::string color = "auto";
};

void write_info(const Arguments& arguments)
{
    Output output(arguments.output);
    Progress progress("reading " + arguments.trace);
    const TraceFacts facts = read_trace_facts(arguments.trace, {.on_progress = progress.callback()});
    progress.clear();
    if (arguments.format == "json") {
        write_json(output.stream(), info_json(facts));
    } else {
        write_info_text(output.stream(), facts, output.paint(arguments.color));
    }
    output.finish();
}

} // namespace

void add_info_command(CLI::App& app, int& status)
{
    auto arguments = std::make_shared<Arguments>();
    CLI::App* command =
        app.add_subcommand("info", "Say what a trace contains: process, modules and symbols, slots, gaps");
    command->add_option("TRACE", arguments->trace, "Trace file")->required();
    add_output_options(*command, arguments->format, arguments->output);
    add_color_option(*command, arguments->color);
    command->callback([arguments, &status] {
        write_info(*arguments);
        status = kDone;
    });
}

} // namespace leak::analyzer
