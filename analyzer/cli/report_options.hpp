// The options that report, diff and run --report share.
//
// Plain data; one thread.
#pragma once

#include "analyzer/cli/core_options.hpp"
#include "analyzer/render/text_style.hpp"
#include "analyzer/report/leak_report.hpp"
#include "analyzer/report/suppressions.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace CLI {
class App;
class Option;
} // namespace CLI

namespace leak::analyzer {

struct ReportOptions {
    std::string by = "stack";
    std::string sort = "bytes";
    size_t top = kTopUnset; // 0: all
    size_t depth = 0;
    uint64_t min_bytes = 0;
    std::string format = "text";
    std::string output;
    std::vector<std::string> suppression_files;
    bool no_default_suppressions = false;
    std::string stacks; // empty: not listed
    CoreOptions core;   // of `report` alone
    bool growth = true; // and retention; not by an option: whether the command shows them
    bool full = false;
    std::string color = "auto";

    static constexpr size_t kTopUnset = SIZE_MAX;

    [[nodiscard]] bool json() const { return format == "json"; }
    [[nodiscard]] SiteOptions sites() const;
    [[nodiscard]] LeakReportOptions report() const;
    [[nodiscard]] TextStyle text_style(Paint paint) const;
    [[nodiscard]] size_t json_top() const; // JSON has all sites unless --top was given

    // Reads the files; throws UserError.
    [[nodiscard]] Suppressions suppressions() const;
};

void add_report_options(CLI::App& command, ReportOptions& options);
void add_stacks_option(CLI::App& command, ReportOptions& options); // not for diff
void add_output_options(CLI::App& command, std::string& format, std::string& output);
CLI::Option* add_interval_option(CLI::App& command, double& seconds); // of --follow and watch
void add_color_option(CLI::App& command, std::string& color);

} // namespace leak::analyzer
