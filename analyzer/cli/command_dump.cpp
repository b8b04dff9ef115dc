#include "analyzer/cli/commands.hpp"
#include "analyzer/cli/output.hpp"
#include "analyzer/render/dump_text.hpp"
#include "analyzer/replay/event_merge.hpp"

#include <CLI/CLI.hpp>
#include <memory>
#include <optional>

namespace leak::analyzer {
namespace {

constexpr uint64_t kEventsBetweenLooks = 4096; // whether somebody still reads

struct Arguments {
    std::string trace;
    std::string output;
    bool stacks = false;
};

void write_dump(const Arguments& arguments)
{
    Output output(arguments.output);
    TraceContents trace = open_trace(arguments.trace);
    std::optional<Symbolizer> symbolizer;
    if (arguments.stacks) {
        symbolizer.emplace(trace.modules);
    }
    StackTable stacks;
    DumpWriter writer(output.stream(), trace, stacks, symbolizer ? &*symbolizer : nullptr);
    writer.write_heading();
    EventMerge events(trace, stacks);
    TraceEvent event;
    for (uint64_t count = 0; events.next(event); ++count) {
        writer.write(event);
        if (count % kEventsBetweenLooks == 0 && output.closed()) {
            break;
        }
    }
    for (const Damage& damage : trace.damage.entries()) {
        output.stream() << "# damaged at offset " << damage.offset << ": " << damage.what << '\n';
    }
    if (trace.header.lost_events > 0) {
        output.stream() << "# " << trace.header.lost_events << " events are missing\n";
    }
    output.finish();
}

} // namespace

void add_dump_command(CLI::App& app, int& status)
{
    auto arguments = std::make_shared<Arguments>();
    CLI::App* command = app.add_subcommand("dump", "Print the events of a trace, one a line");
    command->add_option("TRACE", arguments->trace, "Trace file")->required();
    command->add_flag("--stacks", arguments->stacks, "Print stacks with names instead of their numbers");
    command->add_option("-o,--output", arguments->output, "Write to FILE instead of standard output")
        ->type_name("FILE");
    command->callback([arguments, &status] {
        write_dump(*arguments);
        status = kDone;
    });
}

} // namespace leak::analyzer
