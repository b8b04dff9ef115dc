// The subcommands: each adds its options to the parser and, when it was chosen, runs and sets the exit status.
//
// One thread. The only folder that knows CLI11.
#pragma once

#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace leak::analyzer {

// Exit statuses, as leakan(1) documents them.
inline constexpr int kDone = 0;
inline constexpr int kFindings = 1;
inline constexpr int kUnusable = 2;

// `program` is what take_program() gave; it is read when the command runs.
void add_run_command(CLI::App& app, const std::vector<std::string>& program, int& status);
void add_report_command(CLI::App& app, int& status);
void add_watch_command(CLI::App& app, int& status);
void add_diff_command(CLI::App& app, int& status);
void add_growth_command(CLI::App& app, int& status);
void add_retention_command(CLI::App& app, int& status);
void add_timeline_command(CLI::App& app, int& status);
void add_info_command(CLI::App& app, int& status);
void add_dump_command(CLI::App& app, int& status);
void add_mark_command(CLI::App& app, int& status);
void add_snapshot_command(CLI::App& app, int& status);

// Takes the program and its arguments off the end of `arguments` (without the name of this process) when they are those
// of `run`: the parser must not look at them, as it would take "--" and option-like words for its own.
[[nodiscard]] std::vector<std::string> take_program(const CLI::App& app, std::vector<std::string>& arguments);

} // namespace leak::analyzer
