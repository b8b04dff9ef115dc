#include "analyzer/cli/commands.hpp"
#include "analyzer/cli/growth_options.hpp"
#include "analyzer/cli/output.hpp"
#include "analyzer/cli/report_options.hpp"
#include "analyzer/cli/report_work.hpp"
#include "analyzer/render/growth_json.hpp"
#include "analyzer/render/growth_text.hpp"
#include "analyzer/report/fragmentation.hpp"

#include <CLI/CLI.hpp>
#include <limits>
#include <memory>

namespace leak::analyzer {
namespace {

constexpr size_t kAll = std::numeric_limits<size_t>::max();

struct Arguments {
    std::vector<std::string> traces;
    GrowthArguments growth;
    std::optional<size_t> top; // 0: all
    std::string format = "text";
    std::string output;
    std::string color = "auto";
    bool full = false;
};

GrowthReport read_growth(const std::string& trace, const GrowthOptions& options)
{
    const ReplayResult replayed = replay(trace);
    Symbolizer symbolizer(replayed.modules);
    GrowthReport report = make_growth_report(replayed, symbolizer, options);
    if (may_be_fragmented(report)) add_fragmentation(report);
    return report;
}

void write_growth(const Arguments& arguments)
{
    GrowthOptions options = arguments.growth.options();
    const Suppressions suppressions(true);
    options.suppressions = &suppressions;
    const bool is_json = arguments.format == "json";
    const size_t top = arguments.top.value_or(is_json ? 0 : 10);
    Output output(arguments.output);
    const TextStyle style{.paint = output.paint(arguments.color), .full = arguments.full, .top = top == 0 ? kAll : top};
    Json all = Json::array();
    for (size_t i = 0; i < arguments.traces.size(); ++i) {
        const GrowthReport report = read_growth(arguments.traces[i], options);
        if (is_json) {
            all.push_back(growth_json(report, style.top));
        } else {
            output.stream() << (i == 0 ? "" : "\n\n");
            write_growth_text(output.stream(), report, style);
        }
    }
    if (is_json)
        write_json(output.stream(),
                   all.size() == 1 ? all.front() : Json{{"schema", "leakan.growths.v1"}, {"reports", all}});
    output.finish();
}

} // namespace

void add_growth_command(CLI::App& app, int& status)
{
    auto arguments = std::make_shared<Arguments>();
    CLI::App* command =
        app.add_subcommand("growth", "Say what memory did when the load stopped: who kept growing, who held it");
    command->add_option("TRACE", arguments->traces, "Trace files")->required();
    add_growth_options(*command, arguments->growth);
    command->add_option("--top", arguments->top, "Show N stacks; 0: all. Default: 10, all in JSON")->type_name("N");
    add_output_options(*command, arguments->format, arguments->output);
    command->add_flag("--full", arguments->full, "Every frame, whole names and whole paths");
    add_color_option(*command, arguments->color);
    command->callback([arguments, &status] {
        write_growth(*arguments);
        status = kDone;
    });
}

} // namespace leak::analyzer
