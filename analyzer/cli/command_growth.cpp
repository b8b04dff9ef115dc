#include "analyzer/cli/commands.hpp"
#include "analyzer/cli/growth_options.hpp"
#include "analyzer/cli/report_work.hpp"
#include "analyzer/cli/section_command.hpp"
#include "analyzer/render/growth_json.hpp"
#include "analyzer/render/growth_text.hpp"
#include "analyzer/report/fragmentation.hpp"

#include <CLI/CLI.hpp>
#include <memory>

namespace leak::analyzer {
namespace {

struct Arguments {
    SectionArguments section;
    GrowthArguments growth;
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
    write_sections(
        arguments.section, "leakan.growths.v1", [&](const std::string& trace) { return read_growth(trace, options); },
        write_growth_text, growth_json);
}

} // namespace

void add_growth_command(CLI::App& app, int& status)
{
    auto arguments = std::make_shared<Arguments>();
    CLI::App* command =
        app.add_subcommand("growth", "Say what memory did when the load stopped: who kept growing, who held it");
    add_section_options(*command, arguments->section);
    add_growth_options(*command, arguments->growth);
    command->callback([arguments, &status] {
        write_growth(*arguments);
        status = kDone;
    });
}

} // namespace leak::analyzer
