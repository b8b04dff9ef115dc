#include "analyzer/cli/section_command.hpp"

#include "analyzer/cli/report_options.hpp"

#include <limits>

namespace leak::analyzer {

TextStyle SectionArguments::style(const Output& to) const
{
    const size_t most = top.value_or(is_json() ? 0 : 10);
    return {.paint = to.paint(color), .full = full, .top = most == 0 ? std::numeric_limits<size_t>::max() : most};
}

void add_section_options(CLI::App& command, SectionArguments& arguments)
{
    command.add_option("TRACE", arguments.traces, "Trace files")->required();
    command.add_option("--top", arguments.top, "Show N stacks; 0: all. Default: 10, all in JSON")->type_name("N");
    add_output_options(command, arguments.format, arguments.output);
    command.add_flag("--full", arguments.full, "Every frame, whole names and whole paths");
    add_color_option(command, arguments.color);
}

} // namespace leak::analyzer
