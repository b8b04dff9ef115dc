// What the tests of reports share: frames and replay results made by hand.
#pragma once

#include "analyzer/report/leak_report.hpp"

#include <string>
#include <vector>

namespace leak::test {

[[nodiscard]] inline analyzer::Frame frame(std::string function, std::string file = {}, uint32_t line = 0,
                                           std::string module = "/opt/app/app")
{
    return {.function = std::move(function), .file = std::move(file), .line = line, .module = std::move(module)};
}

[[nodiscard]] inline analyzer::Frame in_module(std::string module, std::string function)
{
    return frame(std::move(function), {}, 0, std::move(module));
}

// A site as grouping makes it, for one stack.
[[nodiscard]] inline analyzer::Site site(uint64_t blocks, uint64_t bytes, std::vector<analyzer::Frame> frames)
{
    analyzer::Site made;
    made.blocks = blocks;
    made.bytes = bytes;
    made.kinds = {format::EventKind::malloc_};
    made.tids = {4711};
    made.frames = std::move(frames);
    return made;
}

// A report of /opt/app/app with these sites.
[[nodiscard]] inline analyzer::LeakReport report_of(const std::vector<analyzer::Site>& sites)
{
    analyzer::LeakReport report;
    report.info.exe = "/opt/app/app";
    report.info.pid = 4711;
    report.info.working_directory = "/home/x/app";
    report.info.end_state = format::EndState::exit_started;
    report.info.exit_status = 0;
    report.info.duration_ns = 2'500'000'000;
    report.info.complete = true;
    for (const analyzer::Site& made : sites) {
        report.unfreed.blocks += made.blocks;
        report.unfreed.bytes += made.bytes;
        report.unfreed.sites.push_back(made);
    }
    return report;
}

} // namespace leak::test
