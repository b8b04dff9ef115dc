#include "analyzer/cli/commands.hpp"
#include "analyzer/cli/process_trace.hpp"
#include "analyzer/decode/snapshot_request.hpp"

#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>

namespace leak::analyzer {
namespace {

struct Arguments {
    std::string target;
    unsigned patience_seconds = 60;
};

} // namespace

void add_snapshot_command(CLI::App& app, int& status)
{
    auto arguments = std::make_shared<Arguments>();
    CLI::App* command = app.add_subcommand("snapshot", "Have a running program note what it can reach in its memory");
    command->add_option("TRACE|PID", arguments->target, "Trace file, or the number of a traced process")->required();
    command->add_option("--timeout", arguments->patience_seconds, "Seconds to wait for it")
        ->type_name("SECONDS")
        ->capture_default_str();
    command->callback([arguments, &status] {
        const auto trace = trace_of_target(arguments->target);
        const auto snapshot = request_snapshot(trace, std::chrono::seconds(arguments->patience_seconds));
        std::cout << trace.string() << " has snapshot " << snapshot.number << '\n';
        status = kDone;
    });
}

} // namespace leak::analyzer
