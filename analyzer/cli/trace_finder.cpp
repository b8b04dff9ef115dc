#include "analyzer/cli/trace_finder.hpp"

#include "format/layout.hpp"

#include <algorithm>
#include <cstdlib>
#include <fcntl.h>
#include <set>
#include <sys/stat.h>
#include <unistd.h>

namespace leak::analyzer {
namespace {

std::vector<TraceHead> candidates_in(const std::vector<std::filesystem::path>& directories, uint64_t since_unix_ns)
{
    constexpr uint64_t second = 1'000'000'000;
    std::vector<TraceHead> candidates;
    for (const auto& directory : directories) {
        std::error_code ignored;
        for (const auto& entry : std::filesystem::directory_iterator(directory, ignored)) {
            struct stat status{};
            // Old files are not opened; a second of slack for coarse time stamps.
            if (lstat(entry.path().c_str(), &status) != 0 || !S_ISREG(status.st_mode) ||
                (static_cast<uint64_t>(status.st_mtim.tv_sec) + 1) * second < since_unix_ns) {
                continue;
            }
            auto candidate = read_trace_head(entry.path());
            if (candidate && candidate->start_unix_ns >= since_unix_ns) {
                candidates.push_back(std::move(*candidate));
            }
        }
    }
    std::ranges::sort(candidates, {}, &TraceHead::start_unix_ns);
    return candidates;
}

} // namespace

// O_NONBLOCK: a FIFO in the directory must not hold us up.
std::optional<TraceHead> read_trace_head(const std::filesystem::path& path)
{
    const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (file < 0) {
        return std::nullopt;
    }
    format::FileHeader header{};
    const ssize_t bytes = pread(file, &header, sizeof header, format::kFileHeaderOffset);
    close(file);
    if (bytes != ssize_t{sizeof header} || header.frame.magic != format::kFrameMagic ||
        header.frame.tag != format::kFrameTag || header.frame.kind != format::FrameKind::header) {
        return std::nullopt;
    }
    return TraceHead{path, header.start_unix_ns, header.pid, header.parent_pid};
}

FoundTraces find_traces(const std::vector<std::filesystem::path>& directories, uint32_t pid, uint64_t since_unix_ns)
{
    FoundTraces found;
    std::set<uint32_t> family = {pid};
    // Oldest first, so that a parent is met before its children.
    for (TraceHead& candidate : candidates_in(directories, since_unix_ns)) {
        if (candidate.pid == pid) {
            found.own.push_back(std::move(candidate.path));
        } else if (family.contains(candidate.parent_pid) || family.contains(candidate.pid)) {
            family.insert(candidate.pid);
            found.children.push_back(std::move(candidate.path));
        }
    }
    return found;
}

std::vector<std::filesystem::path> trace_directories(const std::string& output_pattern)
{
    std::vector<std::filesystem::path> directories;
    const auto add = [&](const std::filesystem::path& directory) {
        std::error_code error;
        const auto canonical = std::filesystem::canonical(directory, error);
        if (!error && std::ranges::find(directories, canonical) == directories.end()) {
            directories.push_back(canonical);
        }
    };
    const std::filesystem::path parent = std::filesystem::path(output_pattern).parent_path();
    add(parent.empty() ? "." : parent);
    if (const char* temporary = std::getenv("TMPDIR")) {
        add(temporary);
    }
    add("/tmp");
    return directories;
}

} // namespace leak::analyzer
