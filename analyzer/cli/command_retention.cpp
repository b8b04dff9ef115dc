#include "analyzer/cli/commands.hpp"
#include "analyzer/cli/report_work.hpp"
#include "analyzer/cli/section_command.hpp"
#include "analyzer/render/retention_json.hpp"
#include "analyzer/render/retention_text.hpp"

#include <CLI/CLI.hpp>
#include <memory>

namespace leak::analyzer {
namespace {

struct Arguments {
    SectionArguments section;
    RetentionOptions options;
    CoreOptions core;
};

RetentionReport read_retention(const std::string& trace, const CoreOptions& core, const RetentionOptions& options)
{
    const ReplayResult replayed = replay_with_memory(trace, core);
    Symbolizer symbolizer(replayed.modules);
    std::optional<MemoryFacts> memory;
    if (replayed.memory) memory.emplace(replayed, symbolizer);
    return make_retention_report(replayed, memory ? &*memory : nullptr, symbolizer, options);
}

void write_retention(const Arguments& arguments)
{
    arguments.core.check(arguments.section.traces.size());
    RetentionOptions options = arguments.options;
    const Suppressions suppressions(true);
    options.suppressions = &suppressions;
    write_sections(
        arguments.section, "leakan.retentions.v1",
        [&](const std::string& trace) { return read_retention(trace, arguments.core, options); }, write_retention_text,
        retention_json);
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
    command
        .add_option("--idle-bytes", rules.idle_bytes,
                    "Idle blocks are listed where those of a stack have N[K|M|G] bytes together. Default: 1M")
        ->transform(CLI::AsSizeValue(false))
        ->type_name("N[K|M|G]");
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
    add_section_options(*command, arguments->section);
    add_core_options(*command, arguments->core);
    add_rule_options(*command, arguments->options);
    command->callback([arguments, &status] {
        write_retention(*arguments);
        status = kDone;
    });
}

} // namespace leak::analyzer
