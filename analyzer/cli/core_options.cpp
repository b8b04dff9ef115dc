#include "analyzer/cli/core_options.hpp"

#include "analyzer/cli/parse_time.hpp"
#include "analyzer/user_error.hpp"

#include <CLI/CLI.hpp>

namespace leak::analyzer {

std::optional<CoreSource> CoreOptions::source() const
{
    if (path.empty()) return std::nullopt;
    return CoreSource{path, at.empty() ? std::nullopt : std::optional(parse_time(at))};
}

void CoreOptions::check(size_t traces) const
{
    if (!path.empty() && traces != 1) throw UserError("--core takes one trace, that of the process it is of");
}

CLI::Option* add_core_options(CLI::App& command, CoreOptions& options)
{
    CLI::Option* core =
        command
            .add_option("--core", options.path,
                        "Take what can be reached from FILE, a core dump of the process (of a crash, or by gcore), and "
                        "not from the snapshot of the trace")
            ->type_name("FILE");
    command
        .add_option("--core-at", options.at,
                    "When FILE was written, so long after the start of the trace (90, 1.5s, 250ms, 3min, 2h, 1d). "
                    "Default: its time of modification")
        ->type_name("TIME")
        ->needs(core);
    return core;
}

} // namespace leak::analyzer
