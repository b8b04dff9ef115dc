// leakan: analyses what libleak.so recorded. Arguments -> validated options -> one command.
#include "analyzer/cli/commands.hpp"
#include "analyzer/user_error.hpp"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <iostream>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

namespace {

constexpr const char* kExamples = R"(Examples:
  leakan run -- ./server --port 8080       trace a program
  leakan report leak.server.4711.zst       what it left behind, by stack
  leakan report --by function --top 20 leak.server.4711.zst
  leakan report --follow leak.server.4711.zst
                                           a new report every 2 s, until it ends
  leakan watch 4711                        what grows in a running process, as it grows
  leakan diff before.zst after.zst         what changed between two runs or builds
  leakan growth leak.server.4711.zst       what memory did when the load stopped
  leakan retention leak.server.4711.zst    large blocks that stay although little of them is needed
  leakan timeline leak.server.4711.zst     how memory went over the run
  leakan info leak.server.4711.zst         what is in a trace, and whether symbols were found
  leakan dump leak.server.4711.zst         every event as a line of text
  leakan mark 4711 'load stop'             a named moment in the trace of a running process
  leakan snapshot 4711                     what a running process can still reach, for its reports

leakan COMMAND --help lists the options of a command; man leakan explains them.)";

int run(int argc, char** argv)
{
    int status = leak::analyzer::kDone;
    std::vector<std::string> program;
    CLI::App app("Finds memory leaks in what libleak.so recorded of a program.", "leakan");
    app.set_version_flag("--version", "leakan " LEAK_VERSION);
    app.add_flag_callback("-v,--verbose", [] { spdlog::set_level(spdlog::level::debug); }, "Say what is being done");
    app.require_subcommand(1);
    app.footer(kExamples);
    leak::analyzer::add_run_command(app, program, status);
    leak::analyzer::add_report_command(app, status);
    leak::analyzer::add_watch_command(app, status);
    leak::analyzer::add_diff_command(app, status);
    leak::analyzer::add_growth_command(app, status);
    leak::analyzer::add_retention_command(app, status);
    leak::analyzer::add_timeline_command(app, status);
    leak::analyzer::add_info_command(app, status);
    leak::analyzer::add_dump_command(app, status);
    leak::analyzer::add_mark_command(app, status);
    leak::analyzer::add_snapshot_command(app, status);
    std::vector<std::string> arguments(argv + 1, argv + argc);
    program = leak::analyzer::take_program(app, arguments);
    std::ranges::reverse(arguments); // as the parser wants them
    try {
        app.parse(std::move(arguments));
    } catch (const CLI::Success& help) {
        return app.exit(help);
    } catch (const CLI::ParseError& error) {
        std::cerr << "leakan: " << error.what() << "; see leakan --help\n";
        return leak::analyzer::kUnusable;
    }
    return status;
}

} // namespace

int main(int argc, char** argv)
{
    try {
        spdlog::set_default_logger(spdlog::stderr_logger_st("leakan"));
        spdlog::set_pattern("leakan: %v");
        spdlog::set_level(spdlog::level::warn);
        return run(argc, argv);
    } catch (const leak::analyzer::UserError& error) {
        std::cerr << "leakan: " << error.what() << '\n';
    } catch (const std::exception& error) {
        std::cerr << "leakan: internal error: " << error.what() << "; please report it with the trace\n";
    }
    return leak::analyzer::kUnusable;
}
