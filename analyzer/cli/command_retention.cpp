#include "analyzer/cli/commands.hpp"
#include "analyzer/cli/output.hpp"
#include "analyzer/cli/report_options.hpp"
#include "analyzer/cli/report_work.hpp"
#include "analyzer/render/retention_json.hpp"
#include "analyzer/render/retention_text.hpp"

#include <CLI/CLI.hpp>
#include <limits>
#include <memory>

namespace leak::analyzer {
namespace {

constexpr size_t kAll = std::numeric_limits<size_t>::max();

struct Arguments {
    std::vector<std::string> traces;
    RetentionOptions options;
    std::optional<size_t> top; // 0: all
    std::string format = "text";
    std::string output;
    std::string color = "auto";
    bool full = false;
};

RetentionReport read_retention(const std::string& trace, const RetentionOptions& options)
{
    const ReplayResult replayed = replay(trace, true);
    Symbolizer symbolizer(replayed.modules);
    std::optional<MemoryFacts> memory;
    if (replayed.memory) memory.emplace(replayed, symbolizer);
    return make_retention_report(replayed, memory ? &*memory : nullptr, symbolizer, options);
}

void write_retention(const Arguments& arguments)
{
    RetentionOptions options = arguments.options;
    const Suppressions suppressions(true);
    options.suppressions = &suppressions;
    const bool is_json = arguments.format == "json";
    const size_t top = arguments.top.value_or(is_json ? 0 : 10);
    Output output(arguments.output);
    const TextStyle style{.paint = output.paint(arguments.color), .full = arguments.full, .top = top == 0 ? kAll : top};
    Json all = Json::array();
    for (size_t i = 0; i < arguments.traces.size(); ++i) {
        const RetentionReport report = read_retention(arguments.traces[i], options);
        if (is_json) {
            all.push_back(retention_json(report, style.top));
        } else {
            output.stream() << (i == 0 ? "" : "\n\n");
            write_retention_text(output.stream(), report, style);
        }
    }
    if (is_json)
        write_json(output.stream(),
                   all.size() == 1 ? all.front() : Json{{"schema", "leakan.retentions.v1"}, {"reports", all}});
    output.finish();
}

void add_share_option(CLI::App& command, const std::string& name, double& share, const std::string& meaning)
{
    command.add_option(name, share, meaning)->check(CLI::Range(0.001, 1.0))->type_name("SHARE");
}

void add_rule_options(CLI::App& command, RetentionOptions& options)
{
    command
        .add_option("--large", options.large_bytes,
                    "Blocks of N[K|M|G] bytes are large, and those of stacks that add up to it. Default: LEAK_LARGE of "
                    "the traced process, which is 64K")
        ->transform(CLI::AsSizeValue(false))
        ->type_name("N[K|M|G]");
    RetentionRules& rules = options.rules;
    add_share_option(command, "--pinned", rules.pinned_share,
                     "A block is pinned when at most this share of it is pointed to. Default: 0.05");
    add_share_option(command, "--outgrown", rules.outgrown_share,
                     "A block is outgrown when this share of it is empty. Default: 0.5");
    add_share_option(command, "--slack", rules.slack_share,
                     "A block is slack when this share of it was never touched. Default: 0.5");
    add_share_option(command, "--idle", rules.idle_share,
                     "A block is idle when it was not written for this share of the run. Default: 0.5");
    add_share_option(command, "--survivor", rules.survivor_share,
                     "A block is a survivor when this share of those of its stack were released. Default: 0.95");
    command
        .add_option("--siblings", rules.survivor_siblings,
                    "A stack has survivors when it allocated N blocks or more. Default: 20")
        ->type_name("N");
    command.add_option("--depth", options.depth, "Only the N innermost frames count; 0: all (default)")->type_name("N");
}

} // namespace

void add_retention_command(CLI::App& app, int& status)
{
    auto arguments = std::make_shared<Arguments>();
    CLI::App* command = app.add_subcommand(
        "retention", "Say which large blocks stay although little of them is needed, and who keeps them");
    command->add_option("TRACE", arguments->traces, "Trace files")->required();
    add_rule_options(*command, arguments->options);
    command->add_option("--top", arguments->top, "Show N stacks; 0: all. Default: 10, all in JSON")->type_name("N");
    add_output_options(*command, arguments->format, arguments->output);
    command->add_flag("--full", arguments->full, "Every frame, whole names and whole paths");
    add_color_option(*command, arguments->color);
    command->callback([arguments, &status] {
        write_retention(*arguments);
        status = kDone;
    });
}

} // namespace leak::analyzer
