#include "preload/output_path.hpp"

#include "preload/os.hpp"

namespace leak::preload {

namespace {

constexpr std::string_view kSuffix = ".zst";
constexpr unsigned kMostAttempts = 10'000; // names tried in one directory before it counts as unusable

void read_link_into(const char* link, Path& path) noexcept
{
    const long bytes = os::read_link(link, path.data(), Path::capacity() - 1);
    path.resize(bytes > 0 ? static_cast<size_t>(bytes) : 0);
}

void expand(std::string_view pattern, std::string_view executable, uint32_t pid, uint64_t start_unix_ns,
            Path& name) noexcept
{
    for (size_t i = 0; i < pattern.size(); ++i) {
        if (pattern[i] != '%' || i + 1 == pattern.size()) {
            name.add(pattern[i]);
            continue;
        }
        switch (pattern[++i]) {
        case 'e':
            name.add(base_name(executable));
            break;
        case 'p':
            name.add_number(pid);
            break;
        case 't':
            name.add_number(start_unix_ns / 1'000'000'000u);
            break;
        default:
            name.add(pattern[i]);
            break;
        }
    }
}

// Creates `name`, or with a number before ".zst" what is not there yet.
[[nodiscard]] int create_new(std::string_view name, Path& path) noexcept
{
    const bool has_suffix = name.ends_with(kSuffix);
    const std::string_view stem = has_suffix ? head(name, name.size() - kSuffix.size()) : name;
    int fd = -EEXIST;
    for (unsigned attempt = 0; fd == -EEXIST && attempt < kMostAttempts; ++attempt) {
        path.clear();
        path.add(stem);
        if (attempt > 0) path.add('.').add_number(attempt);
        if (has_suffix) path.add(kSuffix);
        if (path.cut()) return -ENAMETOOLONG;
        fd = os::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
    }
    if (fd >= 0) os::set_mode(fd, 0600); // a umask may have taken the owner's own rights
    return fd;
}

[[nodiscard]] int create_in(std::string_view directory, std::string_view name, Path& path) noexcept
{
    if (directory.empty() || directory.front() != '/') return -ENOENT;
    Path full;
    full.add(directory).add('/').add(base_name(name));
    return create_new(full.view(), path);
}

} // namespace

void executable_path(Path& path) noexcept
{
    read_link_into("/proc/self/exe", path);
    constexpr std::string_view deleted = " (deleted)";
    if (path.view().ends_with(deleted)) path.resize(path.view().size() - deleted.size());
}

std::string_view base_name(std::string_view path) noexcept
{
    const size_t slash = path.rfind('/');
    return slash == std::string_view::npos ? path : tail(path, slash + 1);
}

void make_absolute(std::string_view relative, Path& path) noexcept
{
    path.clear();
    if (!relative.starts_with('/')) {
        read_link_into("/proc/self/cwd", path);
        if (!path.empty()) path.add('/');
    }
    while (relative.starts_with("./")) relative.remove_prefix(2);
    path.add(relative);
}

int create_trace_file(const Settings& settings, std::string_view executable, uint32_t pid, uint64_t start_unix_ns,
                      Path& path) noexcept
{
    Path name;
    expand(settings.output_pattern.view(), executable.empty() ? "unknown" : executable, pid, start_unix_ns, name);
    Path absolute;
    make_absolute(name.view(), absolute);
    const int first = create_new(absolute.view(), path);
    if (first >= 0) return first;
    int fd = create_in(settings.temporary_directory.view(), name.view(), path);
    if (fd < 0) fd = create_in("/tmp", name.view(), path);
    return fd >= 0 ? fd : first;
}

} // namespace leak::preload
