#include "preload/memory_limits.hpp"

#include "preload/os.hpp"
#include "preload/text.hpp"

namespace leak::preload {

namespace {

// A limit from here on is none: version 1 says so by the largest number of pages.
constexpr uint64_t kNoLimitFrom = uint64_t{1} << 60;

// "max" or a number of bytes.
[[nodiscard]] uint64_t read_limit(const char* path) noexcept
{
    char text[32] = {};
    if (os::read_file(path, text, sizeof text - 1) <= 0 || text[0] < '0' || text[0] > '9') return MemoryLimits::kNone;
    const char* at = text;
    const uint64_t bytes = take_number(at);
    return bytes < kNoLimitFrom ? bytes : MemoryLimits::kNone;
}

// group: begins with a slash. In a container it may be a name outside of what is mounted: then the root is its own.
[[nodiscard]] uint64_t smallest_limit(std::string_view root, std::string_view group, std::string_view file) noexcept
{
    static Path path; // one thread at a time
    uint64_t smallest = MemoryLimits::kNone;
    for (size_t end = group == "/" ? 0 : group.size();; end = head(group, end).rfind('/')) {
        path.clear();
        path.add(root).add(head(group, end)).add('/').add(file);
        const uint64_t limit = path.cut() ? MemoryLimits::kNone : read_limit(path.c_str());
        if (limit < smallest) smallest = limit;
        if (end == 0) return smallest;
    }
}

// Takes the text up to `end`, which goes too, off the front.
[[nodiscard]] std::string_view take_up_to(std::string_view& text, char end) noexcept
{
    const size_t at = text.find(end);
    const std::string_view front = head(text, at == std::string_view::npos ? text.size() : at);
    text = tail(text, at == std::string_view::npos ? text.size() : at + 1);
    return front;
}

[[nodiscard]] bool has_memory(std::string_view controllers) noexcept
{
    while (!controllers.empty())
        if (take_up_to(controllers, ',') == "memory") return true;
    return false;
}

// /proc/self/cgroup has a line "number:controllers:group" for each hierarchy; in version 2 there are no controllers.
[[nodiscard]] uint64_t group_limit() noexcept
{
    static char text[4096]; // one thread at a time
    const long bytes = os::read_file("/proc/self/cgroup", text, sizeof text);
    if (bytes <= 0) return MemoryLimits::kNone;
    uint64_t smallest = MemoryLimits::kNone;
    for (std::string_view lines(text, static_cast<size_t>(bytes)); !lines.empty();) {
        std::string_view group = take_up_to(lines, '\n');
        static_cast<void>(take_up_to(group, ':'));
        const std::string_view controllers = take_up_to(group, ':');
        if (!group.starts_with('/')) continue;
        uint64_t limit = MemoryLimits::kNone;
        if (controllers.empty()) limit = smallest_limit("/sys/fs/cgroup", group, "memory.max");
        if (has_memory(controllers)) limit = smallest_limit("/sys/fs/cgroup/memory", group, "memory.limit_in_bytes");
        if (limit < smallest) smallest = limit;
    }
    return smallest;
}

} // namespace

MemoryLimits ask_memory_limits() noexcept
{
    return {.group_bytes = group_limit(), .address_space_bytes = os::soft_limit(RLIMIT_AS)};
}

} // namespace leak::preload
