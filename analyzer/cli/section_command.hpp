// What the commands have in common that write one section of the report, whole: `growth`, `retention`.
//
// One thread.
#pragma once

#include "analyzer/cli/output.hpp"
#include "analyzer/render/json_parts.hpp"
#include "analyzer/render/text_style.hpp"

#include <CLI/CLI.hpp>
#include <optional>
#include <string>
#include <vector>

namespace leak::analyzer {

struct SectionArguments {
    std::vector<std::string> traces;
    std::optional<size_t> top; // 0: all
    std::string format = "text";
    std::string output;
    std::string color = "auto";
    bool full = false;

    [[nodiscard]] bool is_json() const { return format == "json"; }
    [[nodiscard]] TextStyle style(const Output& to) const;
};

// TRACE, and how to write it.
void add_section_options(CLI::App& command, SectionArguments& arguments);

// Writes the reports of all traces: read(trace) makes one, write_text(stream, report, style) and to_json(report, top)
// render it. schema: of the JSON of several.
template <typename Read, typename WriteText, typename ToJson>
void write_sections(const SectionArguments& arguments, const std::string& schema, Read&& read, WriteText&& write_text,
                    ToJson&& to_json)
{
    Output output(arguments.output);
    const TextStyle style = arguments.style(output);
    Json all = Json::array();
    for (size_t i = 0; i < arguments.traces.size(); ++i) {
        const auto report = read(arguments.traces[i]);
        if (arguments.is_json()) {
            all.push_back(to_json(report, style.top));
        } else {
            output.stream() << (i == 0 ? "" : "\n\n");
            write_text(output.stream(), report, style);
        }
    }
    if (arguments.is_json())
        write_json(output.stream(), all.size() == 1 ? all.front() : Json{{"schema", schema}, {"reports", all}});
    output.finish();
}

} // namespace leak::analyzer
