#include "analyzer/cli/growth_options.hpp"

#include "analyzer/cli/parse_time.hpp"
#include "analyzer/user_error.hpp"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <limits>
#include <utility>

namespace leak::analyzer {

namespace {

[[nodiscard]] Phase parse_phase(const std::string& text)
{
    constexpr std::pair<std::string_view, PhaseKind> kinds[] = {
        {"startup", PhaseKind::startup}, {"load", PhaseKind::load}, {"idle", PhaseKind::idle}};
    const size_t equals = text.find('=');
    const size_t dots = text.find("..");
    const auto kind = std::ranges::find(kinds, text.substr(0, equals), &std::pair<std::string_view, PhaseKind>::first);
    if (equals == std::string::npos || dots == std::string::npos || dots < equals || kind == std::end(kinds))
        throw UserError("--phase " + text + ": not a phase; write load=FROM..TO, idle=FROM..TO or startup=FROM..TO");
    const std::string to = text.substr(dots + 2);
    Phase phase{.kind = kind->second,
                .from_ns = parse_time(text.substr(equals + 1, dots - equals - 1)),
                .to_ns = to.empty() ? std::numeric_limits<int64_t>::max() : parse_time(to)};
    if (phase.to_ns <= phase.from_ns) throw UserError("--phase " + text + ": ends before it begins");
    return phase;
}

} // namespace

GrowthOptions GrowthArguments::options() const
{
    GrowthOptions options{.rules = rules, .phases = {}, .depth = depth};
    for (const std::string& text : phases) options.phases.push_back(parse_phase(text));
    std::ranges::sort(options.phases, {}, &Phase::from_ns);
    for (size_t i = 1; i < options.phases.size(); ++i)
        if (options.phases[i].from_ns < options.phases[i - 1].to_ns)
            throw UserError("two of the phases given overlap; let one end where the next begins");
    if (load_stop.empty()) return options;
    if (!phases.empty()) throw UserError("give either --load-stop or --phase");
    const int64_t stop_ns = parse_time(load_stop);
    options.phases = {{.kind = PhaseKind::load, .from_ns = 0, .to_ns = stop_ns},
                      {.kind = PhaseKind::idle, .from_ns = stop_ns, .to_ns = std::numeric_limits<int64_t>::max()}};
    return options;
}

void add_growth_options(CLI::App& command, GrowthArguments& arguments)
{
    command
        .add_option("--load-stop", arguments.load_stop,
                    "The load stopped TIME after the start (90, 1.5s, 250ms, 3min, 2h, 1d); the rest is idle")
        ->type_name("TIME");
    command
        .add_option("--phase", arguments.phases,
                    "load=FROM..TO, idle=FROM..TO or startup=FROM..TO; may be repeated. An open end is the run's")
        ->type_name("KIND=FROM..TO")
        ->expected(1)
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
    command
        .add_option("--held", arguments.rules.held_share,
                    "A stack is held when this share of what the load added is left. Default: 0.5")
        ->check(CLI::Range(0.01, 1.0))
        ->type_name("SHARE");
    command
        .add_option("--material", arguments.rules.material_bytes,
                    "Growth of less than N[K|M|G] bytes is not listed. Default: 64K")
        ->transform(CLI::AsSizeValue(false))
        ->type_name("N[K|M|G]");
    command.add_option("--depth", arguments.depth, "Only the N innermost frames count; 0: all (default)")
        ->type_name("N");
}

} // namespace leak::analyzer
