#include "analyzer/cli/process_trace.hpp"

#include "analyzer/cli/trace_finder.hpp"
#include "analyzer/user_error.hpp"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <fstream>
#include <optional>
#include <set>

namespace leak::analyzer {
namespace {

namespace fs = std::filesystem;

std::optional<uint32_t> pid_of(const std::string& text)
{
    uint32_t pid = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), pid);
    const bool whole = error == std::errc{} && end == text.data() + text.size() && pid != 0;
    return whole ? std::optional(pid) : std::nullopt;
}

// The files of /proc/PID/maps: "start-end perms offset device inode      path", with \012 for a line break.
std::set<std::string> mapped_files(uint32_t pid)
{
    const std::string process = "process " + std::to_string(pid);
    const std::string folder = "/proc/" + std::to_string(pid);
    std::error_code ignored;
    if (!fs::exists(folder, ignored)) throw UserError("there is no " + process + "; give its number, or a trace");
    errno = 0;
    std::ifstream maps(folder + "/maps");
    std::set<std::string> files;
    std::string line;
    while (std::getline(maps, line))
        if (const size_t path = line.find('/'); path != std::string::npos) files.insert(line.substr(path));
    if (!files.empty()) return files;
    if (errno == EACCES || errno == EPERM)
        throw UserError(process + " can't be looked at: " + std::strerror(errno) +
                        "; run leakan as its user or as root, or name the trace");
    throw UserError(process + " maps no file: it has ended, or is the kernel's; name its trace");
}

} // namespace

fs::path trace_of_target(const std::string& target)
{
    std::error_code ignored;
    const auto pid = pid_of(target);
    if (!pid || fs::exists(target, ignored)) return target;
    std::optional<TraceHead> newest;
    for (const std::string& file : mapped_files(*pid)) {
        auto head = read_trace_head(file);
        // In a container of its own the process has other paths.
        if (!head) head = read_trace_head("/proc/" + target + "/root" + file);
        if (head && head->pid == *pid && (!newest || newest->start_unix_ns < head->start_unix_ns)) newest = head;
    }
    if (!newest)
        throw UserError("process " + target +
                        " is not traced: it has mapped no trace of its own that can be read; start it by leakan run");
    return newest->path;
}

} // namespace leak::analyzer
