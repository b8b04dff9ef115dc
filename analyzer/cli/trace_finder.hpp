// Finds the traces that a program and its children left, by what is in the files and not by their names: the name is
// the user's pattern, gets a counter, and may be in a fallback directory.
//
// One thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace leak::analyzer {

struct TraceHead {
    std::filesystem::path path;
    uint64_t start_unix_ns = 0;
    uint32_t pid = 0;
    uint32_t parent_pid = 0;
};

// Whose trace the file is; nothing when it is none, or can't be read. Symbolic links are not followed.
[[nodiscard]] std::optional<TraceHead> read_trace_head(const std::filesystem::path& path);

struct FoundTraces {
    std::vector<std::filesystem::path> own;      // of the process: several when it called exec; oldest first
    std::vector<std::filesystem::path> children; // of the processes it started, oldest first
};

// Traces in `directories` of the process `pid` and its descendants that began at `since_unix_ns` or later.
[[nodiscard]] FoundTraces find_traces(const std::vector<std::filesystem::path>& directories, uint32_t pid,
                                      uint64_t since_unix_ns);

// Where traces are written by the pattern of LEAK_OUT: its directory, then the fallbacks.
[[nodiscard]] std::vector<std::filesystem::path> trace_directories(const std::string& output_pattern);

} // namespace leak::analyzer
