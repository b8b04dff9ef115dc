#include "analyzer/cli/commands.hpp"
#include "analyzer/cli/output.hpp"
#include "analyzer/cli/report_options.hpp"
#include "analyzer/cli/report_work.hpp"
#include "analyzer/render/timeline_csv.hpp"
#include "analyzer/render/timeline_json.hpp"
#include "analyzer/render/timeline_text.hpp"

#include <CLI/CLI.hpp>
#include <memory>

namespace leak::analyzer {
namespace {

struct Arguments {
    std::string trace;
    std::string format = "text";
    std::string output;
    std::string color = "auto";
    size_t top = 5;
    size_t columns = 72;
};

void write_timeline(const Arguments& arguments)
{
    constexpr size_t kRowsPerColumn = 10; // of CSV: finer than a terminal
    Output output(arguments.output);
    const ReplayResult replayed = replay(arguments.trace);
    Symbolizer symbolizer(replayed.modules);
    const Timeline timeline = make_timeline(replayed, symbolizer, arguments.top);
    if (arguments.format == "json")
        write_json(output.stream(), timeline_json(timeline));
    else if (arguments.format == "csv")
        write_timeline_csv(output.stream(), timeline, arguments.columns * kRowsPerColumn);
    else
        write_timeline_text(output.stream(), timeline, {.paint = output.paint(arguments.color)}, arguments.columns);
    output.finish();
}

} // namespace

void add_timeline_command(CLI::App& app, int& status)
{
    auto arguments = std::make_shared<Arguments>();
    CLI::App* command = app.add_subcommand("timeline", "Draw how memory went over the whole run");
    command->add_option("TRACE", arguments->trace, "Trace file")->required();
    command->add_option("--top", arguments->top, "Draw the N stacks that held most at once (default: 5)")
        ->type_name("N");
    command->add_option("--columns", arguments->columns, "Width of the curves, 20 to 500 (default: 72)")
        ->check(CLI::Range(20, 500));
    command->add_option("--format", arguments->format, "text (default), csv or json")
        ->check(CLI::IsMember({"text", "csv", "json"}));
    command
        ->add_option("-o,--output", arguments->output,
                     "Write to FILE instead of standard output (- is standard output)")
        ->type_name("FILE");
    add_color_option(*command, arguments->color);
    command->callback([arguments, &status] {
        write_timeline(*arguments);
        status = kDone;
    });
}

} // namespace leak::analyzer
