#include "analyzer/cli/commands.hpp"
#include "analyzer/cli/process_trace.hpp"
#include "analyzer/decode/mark_writer.hpp"

#include <CLI/CLI.hpp>
#include <memory>
#include <spdlog/spdlog.h>

namespace leak::analyzer {
namespace {

struct Arguments {
    std::string target;
    std::string text;
};

} // namespace

void add_mark_command(CLI::App& app, int& status)
{
    auto arguments = std::make_shared<Arguments>();
    CLI::App* command = app.add_subcommand("mark", "Put a named mark into the trace of a running program");
    command->add_option("TRACE|PID", arguments->target, "Trace file, or the number of a traced process")->required();
    command->add_option("TEXT", arguments->text, "What the mark is called")->required();
    command->callback([arguments, &status] {
        const auto trace = trace_of_target(arguments->target);
        write_mark(trace, arguments->text);
        spdlog::debug("{} was marked", trace.string());
        status = kDone;
    });
}

} // namespace leak::analyzer
