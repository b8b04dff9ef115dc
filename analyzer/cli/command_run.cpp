#include "analyzer/cli/child_process.hpp"
#include "analyzer/cli/commands.hpp"
#include "analyzer/cli/find_library.hpp"
#include "analyzer/cli/report_work.hpp"
#include "analyzer/cli/run_target.hpp"
#include "analyzer/cli/trace_finder.hpp"
#include "analyzer/user_error.hpp"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstring>
#include <iostream>
#include <memory>
#include <spdlog/spdlog.h>

namespace leak::analyzer {
namespace {

constexpr int kNotStartable = 126; // as shells say it
constexpr int kNotFound = 127;

struct Arguments {
    std::string output;
    uint32_t depth = 0;
    bool no_children = false;
    std::string only;
    uint64_t min_events = 0;
    bool report = false;
};

Environment environment_for(const Arguments& arguments, const std::filesystem::path& library)
{
    const char* preloaded = std::getenv("LD_PRELOAD");
    const std::string others = preloaded == nullptr || *preloaded == '\0' ? "" : ":" + std::string(preloaded);
    Environment environment = {{"LD_PRELOAD", library.string() + others}};
    const auto add = [&](const char* name, const std::string& value, bool given) {
        if (given) {
            environment.emplace_back(name, value);
        }
    };
    add("LEAK_OUT", arguments.output, !arguments.output.empty());
    add("LEAK_DEPTH", std::to_string(arguments.depth), arguments.depth > 0);
    add("LEAK_CHILDREN", "0", arguments.no_children);
    add("LEAK_ONLY", arguments.only, !arguments.only.empty());
    add("LEAK_MIN_EVENTS", std::to_string(arguments.min_events), arguments.min_events > 0);
    return environment;
}

std::string output_pattern(const Arguments& arguments)
{
    const char* from_environment = std::getenv("LEAK_OUT");
    return !arguments.output.empty() ? arguments.output : from_environment != nullptr ? from_environment : "";
}

void say_traces(const FoundTraces& traces)
{
    if (traces.own.empty()) {
        std::cerr << "leakan: no trace was written: the program made no allocation, left none worth keeping "
                     "(LEAK_MIN_EVENTS, LEAK_ONLY), or could not be traced\n";
    }
    for (const auto& trace : traces.own) {
        std::cerr << "leakan: trace: " << trace.string() << '\n';
    }
    if (traces.children.size() == 1) {
        std::cerr << "leakan: trace of a child process: " << traces.children.front().string() << '\n';
    } else if (!traces.children.empty()) {
        std::cerr << "leakan: traces of " << traces.children.size()
                  << " child processes: " << traces.children.front().string() << " ... "
                  << traces.children.back().string() << '\n';
    }
}

int run(const Arguments& arguments, const std::vector<std::string>& command)
{
    if (command.empty()) {
        throw UserError("run needs a program; leakan run [OPTIONS] -- PROGRAM [ARGUMENTS...]");
    }
    const std::filesystem::path library = find_library();
    const std::string& program = command.front();
    const auto file = find_program(program);
    if (!file) {
        std::cerr << "leakan: " << program << ": no such program; check the name or give its path\n";
        return kNotFound;
    }
    if (const auto reason = why_untraceable(*file)) {
        std::cerr << "leakan: " << *reason << "; it runs untraced\n";
    }
    spdlog::debug("preloading {}", library.string());
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    const auto started_ns = static_cast<uint64_t>(std::chrono::nanoseconds(now).count());
    const ChildResult child = run_child(command, environment_for(arguments, library));
    if (child.start_error != 0) {
        std::cerr << "leakan: " << program << ": can't be started: " << std::strerror(child.start_error) << '\n';
        return child.start_error == ENOENT ? kNotFound : kNotStartable;
    }
    const FoundTraces traces =
        find_traces(trace_directories(output_pattern(arguments)), static_cast<uint32_t>(child.pid), started_ns);
    say_traces(traces);
    if (arguments.report && !traces.own.empty()) {
        write_reports({traces.own.back().string()}, {}); // of the last program it became by exec
    }
    return end_like(child);
}

} // namespace

std::vector<std::string> take_program(const CLI::App& app, std::vector<std::string>& arguments)
{
    const auto chosen = std::ranges::find_if(arguments, [](const std::string& word) { return !word.starts_with('-'); });
    if (chosen == arguments.end() || *chosen != "run") {
        return {};
    }
    const CLI::App* command = app.get_subcommand("run");
    auto at = chosen + 1;
    while (at != arguments.end() && at->starts_with('-') && *at != "--") {
        const CLI::Option* option = command->get_option_no_throw(*at); // null: unknown, or "--name=value"
        const bool has_value = option != nullptr && option->get_items_expected_min() > 0;
        at += has_value && at + 1 != arguments.end() ? 2 : 1;
    }
    std::vector<std::string> program(at, arguments.end());
    arguments.erase(at, arguments.end());
    if (!program.empty() && program.front() == "--") {
        program.erase(program.begin());
    }
    return program;
}

void add_run_command(CLI::App& app, const std::vector<std::string>& program, int& status)
{
    auto arguments = std::make_shared<Arguments>();
    CLI::App* command = app.add_subcommand("run", "Run a program and trace it; exits as the program does");
    command->footer("The program and its arguments follow the options: leakan run [OPTIONS] -- PROGRAM [ARGUMENTS...]");
    command
        ->add_option("-o,--output", arguments->output,
                     "Name of the trace: %e program, %p pid, %t time. Default: leak.%e.%p.zst")
        ->type_name("FILE");
    command->add_option("--depth", arguments->depth, "Keep the N innermost frames of a stack. Default: 256")
        ->check(CLI::Range(1, 1024))
        ->type_name("N");
    command->add_flag("--no-children", arguments->no_children, "Don't trace the processes it starts");
    command->add_option("--only", arguments->only, "Trace only executables whose names match, of a process tree")
        ->type_name("GLOB[,GLOB...]");
    command->add_option("--min-events", arguments->min_events, "Remove traces with fewer than N events at exit")
        ->type_name("N");
    command->add_flag("--report", arguments->report, "Print the report afterwards");
    command->callback([arguments, &program, &status] { status = run(*arguments, program); });
}

} // namespace leak::analyzer
