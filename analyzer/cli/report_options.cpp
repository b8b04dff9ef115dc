#include "analyzer/cli/report_options.hpp"

#include <CLI/CLI.hpp>
#include <limits>

namespace leak::analyzer {
namespace {

constexpr size_t kTopInText = 10;
constexpr const char* kRanks[] = {"allocated", "allocations", "temporary", "peak", "live"}; // as RankBy

GroupBy group_of(const std::string& name)
{
    return name == "function" ? GroupBy::function
           : name == "module" ? GroupBy::module
           : name == "thread" ? GroupBy::thread
           : name == "size"   ? GroupBy::size
                              : GroupBy::stack;
}

} // namespace

SiteOptions ReportOptions::sites() const
{
    return {.by = group_of(by),
            .sort = sort == "blocks" ? SortBy::blocks
                    : sort == "age"  ? SortBy::age
                                     : SortBy::bytes,
            .depth = depth,
            .min_bytes = min_bytes};
}

LeakReportOptions ReportOptions::report() const
{
    LeakReportOptions options{.sites = sites(), .stacks = {}, .growth = growth, .retention = growth};
    for (size_t i = 0; i < std::size(kRanks); ++i)
        if (stacks == kRanks[i]) options.stacks = static_cast<RankBy>(i);
    return options;
}

TextStyle ReportOptions::text_style(Paint paint) const
{
    const size_t all = std::numeric_limits<size_t>::max();
    return {.paint = paint, .full = full, .top = top == kTopUnset ? kTopInText : top == 0 ? all : top};
}

size_t ReportOptions::json_top() const
{
    return top == kTopUnset || top == 0 ? std::numeric_limits<size_t>::max() : top;
}

Suppressions ReportOptions::suppressions() const
{
    Suppressions suppressions(!no_default_suppressions);
    for (const std::string& file : suppression_files) {
        suppressions.add_file(file);
    }
    return suppressions;
}

void add_output_options(CLI::App& command, std::string& format, std::string& output)
{
    command.add_option("--format", format, "text (default) or json")->check(CLI::IsMember({"text", "json"}));
    command.add_option("-o,--output", output, "Write to FILE instead of standard output (- is standard output)")
        ->type_name("FILE");
}

CLI::Option* add_interval_option(CLI::App& command, double& seconds)
{
    return command
        .add_option("--interval", seconds, "From one refresh to the next; more where a refresh takes long. Default: 2")
        ->check(CLI::Range(0.1, 86400.0))
        ->type_name("SECONDS");
}

void add_color_option(CLI::App& command, std::string& color)
{
    command.add_option("--color", color, "auto (default), always or never")
        ->check(CLI::IsMember({"auto", "always", "never"}));
}

void add_stacks_option(CLI::App& command, ReportOptions& options)
{
    command
        .add_option("--stacks", options.stacks,
                    "Also list what each stack did since the start, those first with the most allocated bytes "
                    "(allocated), allocations, temporary allocations, bytes live at once (peak) or at the end (live)")
        ->type_name("KEY")
        ->check(CLI::IsMember(std::vector<std::string>(std::begin(kRanks), std::end(kRanks))));
}

void add_report_options(CLI::App& command, ReportOptions& options)
{
    command.add_option("--by", options.by, "Group by stack (default), function, module, thread or size")
        ->check(CLI::IsMember({"stack", "function", "module", "thread", "size"}));
    command.add_option("--sort", options.sort, "Most bytes first (default), most blocks, or oldest (age)")
        ->check(CLI::IsMember({"bytes", "blocks", "age"}));
    command.add_option("--top", options.top, "Show N entries of each table; 0: all. Default: 10, all in JSON")
        ->type_name("N");
    command.add_option("--depth", options.depth, "Only the N innermost frames count; 0: all (default)")->type_name("N");
    command.add_option("--min-bytes", options.min_bytes, "Leave out entries of less than N[K|M|G] bytes")
        ->transform(CLI::AsSizeValue(false))
        ->type_name("N[K|M|G]");
    add_output_options(command, options.format, options.output);
    command
        .add_option("--suppressions", options.suppression_files,
                    "Hide what the leak:PATTERN lines of FILE name (LeakSanitizer's syntax); may be repeated")
        ->type_name("FILE")
        ->expected(1)
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
    command.add_flag("--no-default-suppressions", options.no_default_suppressions,
                     "Show start-up residue of libc and libstdc++ too");
    command.add_flag("--full", options.full, "Every frame, whole names and whole paths");
    add_color_option(command, options.color);
}

} // namespace leak::analyzer
