#include "preload/settings.hpp"

#include "format/layout.hpp"
#include "preload/message.hpp"
#include "preload/os.hpp"
#include "preload/own_memory.hpp"
#include "preload/signal_name.hpp"

namespace leak::preload {

namespace {

constexpr size_t kMostEnvironmentBytes = size_t{8} * 1024 * 1024;

// The whole environment, for the time of a visit.
class Environment {
public:
    Environment() noexcept : bytes_(static_cast<char*>(map_own(kMostEnvironmentBytes)))
    {
        if (bytes_ == nullptr) return;
        const long got = os::read_file("/proc/self/environ", bytes_, kMostEnvironmentBytes - 1);
        size_ = got > 0 ? static_cast<size_t>(got) : 0;
    }
    ~Environment()
    {
        if (bytes_ != nullptr) unmap_own(bytes_, kMostEnvironmentBytes);
    }
    Environment(const Environment&) = delete;
    Environment& operator=(const Environment&) = delete;

    [[nodiscard]] bool readable() const noexcept { return bytes_ != nullptr; }

    template <typename Visit> void for_each(Visit&& visit) const noexcept
    {
        for (size_t at = 0; at < size_;) {
            const std::string_view variable(bytes_ + at);
            visit(variable);
            at += variable.size() + 1;
        }
    }

private:
    char* bytes_;
    size_t size_ = 0;
};

[[nodiscard]] bool parse_number(std::string_view text, uint64_t least, uint64_t most, uint64_t& number) noexcept
{
    if (text.empty() || text.size() > 18) return false;
    uint64_t result = 0;
    for (const char digit : text) {
        if (digit < '0' || digit > '9') return false;
        result = result * 10 + static_cast<uint64_t>(digit - '0');
    }
    if (result < least || result > most) return false;
    number = result;
    return true;
}

// A number of bytes, or with K, M or G of 2^10, 2^20 or 2^30.
[[nodiscard]] bool parse_size(std::string_view text, uint64_t& bytes) noexcept
{
    constexpr std::string_view kUnits = "KMG";
    uint64_t unit = 1;
    if (!text.empty()) {
        if (const size_t found = kUnits.find(text.back()); found != std::string_view::npos) {
            unit = uint64_t{1} << 10 * (found + 1);
            text.remove_suffix(1);
        }
    }
    uint64_t number = 0;
    if (!parse_number(text, 0, (uint64_t{1} << 50) / unit, number)) return false;
    bytes = number * unit;
    return true;
}

// Seconds with up to three decimals: 0, or from 10 ms to a day.
[[nodiscard]] bool parse_milliseconds(std::string_view text, uint32_t& milliseconds) noexcept
{
    constexpr uint64_t kDay = 86'400'000;
    constexpr std::string_view kZeros = "000";
    const size_t point = text.find('.');
    const std::string_view decimals = point == std::string_view::npos ? std::string_view() : tail(text, point + 1);
    uint64_t whole = 0;
    uint64_t part = 0;
    if (!parse_number(head(text, point == std::string_view::npos ? text.size() : point), 0, kDay / 1000, whole) ||
        decimals.size() > kZeros.size())
        return false;
    if (!decimals.empty() && !parse_number(decimals, 0, 999, part)) return false;
    for (size_t i = decimals.size(); i < kZeros.size(); ++i) part *= 10;
    const uint64_t all = whole * 1000 + part;
    if (all > kDay || (all < 10 && all != 0)) return false;
    milliseconds = static_cast<uint32_t>(all);
    return true;
}

[[nodiscard]] bool parse_snapshots(std::string_view text, Settings& settings) noexcept
{
    settings.snapshots = text != "off";
    uint32_t milliseconds = 0;
    if (text == "off" || text == "exit") return true;
    settings.snapshot_ms = parse_milliseconds(text, milliseconds) ? milliseconds : 0;
    return milliseconds != 0;
}

[[nodiscard]] bool parse_choice(std::string_view text, std::string_view yes, std::string_view no, bool& choice) noexcept
{
    if (text != yes && text != no) return false;
    choice = text == yes;
    return true;
}

template <size_t Capacity> [[nodiscard]] bool parse_text(std::string_view text, Text<Capacity>& result) noexcept
{
    if (text.empty() || text.size() >= Capacity) return false;
    result.clear();
    result.add(text);
    return true;
}

[[nodiscard]] bool parse_compression(std::string_view text, Settings& settings) noexcept
{
    uint64_t level = 0;
    if (text == "auto") return true;
    if (!parse_number(text, 0, 19, level)) return false;
    settings.compression = level == 0 ? Compression::never : Compression::always;
    if (level != 0) settings.zstd_level = static_cast<int>(level);
    return true;
}

[[nodiscard]] bool parse_unwind_mode(std::string_view text, UnwindMode& mode) noexcept
{
    constexpr std::string_view names[] = {"auto", "libunwind", "fp", "verify"};
    for (size_t i = 0; i < std::size(names); ++i) {
        if (text != names[i]) continue;
        mode = static_cast<UnwindMode>(i);
        return true;
    }
    return false;
}

[[nodiscard]] bool pattern_is_known(std::string_view pattern) noexcept
{
    for (size_t at = pattern.find('%'); at != std::string_view::npos; at = pattern.find('%', at + 2))
        if (at + 1 >= pattern.size() || std::string_view("ept%").find(pattern[at + 1]) == std::string_view::npos)
            return false;
    return true;
}

// What a variable must look like, for the message; empty: the value was taken.
[[nodiscard]] std::string_view take(Settings& settings, std::string_view name, std::string_view value) noexcept
{
    uint64_t number = 0;
    if (name == "LEAK_OUT")
        return pattern_is_known(value) && parse_text(value, settings.output_pattern)
                   ? std::string_view()
                   : "a path in which % is followed by e, p, t or %; using leak.%e.%p.zst";
    if (name == "LEAK_ONLY")
        return parse_text(value, settings.only) ? std::string_view()
                                                : "names with * and ?, separated by commas; ignored";
    if (name == "LEAK_DEPTH") {
        if (!parse_number(value, 1, format::kMaxStackDepth, number)) return "a number from 1 to 1024; using 256";
        settings.depth = static_cast<uint32_t>(number);
    } else if (name == "LEAK_MIN_EVENTS") {
        if (!parse_number(value, 0, UINT64_MAX, settings.min_events)) return "a number; using 0";
    } else if (name == "LEAK_RING") {
        if (!parse_size(value, number) || (number != 0 && number < kLeastRingBytes))
            return "0 or a size of at least 8M, such as 512M or 4G; using the default";
        settings.ring = number;
    } else if (name == "LEAK_SAMPLE") {
        if (!parse_size(value, number)) return "0 or a size such as 512K; recording everything";
        settings.sample = number < 2 ? 0 : number;
    } else if (name == "LEAK_TICK") {
        if (!parse_milliseconds(value, settings.tick_ms))
            return "0 or a number of seconds from 0.01 to 86400, such as 0.5; using 1";
    } else if (name == "LEAK_SNAPSHOT") {
        if (!parse_snapshots(value, settings)) return "off, exit or a number of seconds from 0.01 to 86400; using exit";
    } else if (name == "LEAK_REGISTERS") {
        if (!parse_choice(value, "all", "own", settings.all_registers)) return "own or all; using own";
    } else if (name == "LEAK_LARGE") {
        if (!parse_size(value, number)) return "a size such as 64K; using 64K";
        settings.large = number;
    } else if (name == "LEAK_UNWIND") {
        if (!parse_unwind_mode(value, settings.unwind)) return "auto, libunwind, fp or verify; using auto";
    } else if (name == "LEAK_ZSTD_LEVEL") {
        if (!parse_compression(value, settings)) return "auto or a number from 0 to 19; using auto";
    } else if (name == "LEAK_CHILDREN") {
        settings.is_unwanted_child = value == "-";
        if (!settings.is_unwanted_child && !parse_choice(value, "1", "0", settings.children)) return "0 or 1; using 1";
    } else if (name == "LEAK_START") {
        if (!parse_choice(value, "on", "off", settings.start)) return "on or off; using on";
    } else if (name == "LEAK_TOGGLE_SIGNAL") {
        settings.toggle_signal = signal_named(value);
        if (settings.toggle_signal == 0)
            return "a signal that can be caught and is not raised by faults, such as USR2, 12 or RTMIN+1; using none";
    } else if (name == "LEAK_OVERFLOW") {
        if (!parse_choice(value, "drop", "help", settings.drops_overflow)) return "help or drop; using help";
    } else if (name == "LEAK_WRITER") {
        if (!parse_choice(value, "thread", "inline", settings.writer_thread)) return "thread or inline; using thread";
    } else if (name == "LEAK_VERBOSE") {
        if (!parse_choice(value, "1", "0", settings.verbose)) return "0 or 1; using 0";
    } else {
        return "?";
    }
    return {};
}

[[nodiscard]] bool matches(std::string_view pattern, std::string_view name) noexcept
{
    size_t p = 0;
    size_t n = 0;
    size_t star = std::string_view::npos; // the last * seen, and how much of the name it has taken
    size_t taken = 0;
    while (n < name.size()) {
        if (p < pattern.size() && pattern[p] == '*') {
            star = p++;
            taken = n;
        } else if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == name[n])) {
            ++p;
            ++n;
        } else if (star != std::string_view::npos) {
            p = star + 1;
            n = ++taken;
        } else {
            return false;
        }
    }
    while (p < pattern.size() && pattern[p] == '*') ++p;
    return p == pattern.size();
}

void edit_children(char** environment, char from, char to) noexcept
{
    constexpr std::string_view name = "LEAK_CHILDREN=";
    for (char** variable = environment; variable != nullptr && *variable != nullptr; ++variable) {
        char* value = *variable + name.size();
        if (std::string_view(*variable).starts_with(name) && value[0] == from && value[1] == 0) value[0] = to;
    }
}

} // namespace

bool read_settings(Settings& settings) noexcept
{
    settings.output_pattern.add("leak.%e.%p.zst");
    const Environment environment;
    if (!environment.readable()) return false;
    environment.for_each([&settings](std::string_view variable) {
        const size_t equals = variable.find('=');
        if (equals == std::string_view::npos) return;
        const std::string_view name = head(variable, equals);
        const std::string_view value = tail(variable, equals + 1);
        if (name == "TMPDIR") settings.temporary_directory.add(value);
        if (!name.starts_with("LEAK_")) return;
        const std::string_view wanted = take(settings, name, value);
        if (wanted == "?")
            say({name, " is no variable of libleak's, ignored; see libleak(7)"});
        else if (!wanted.empty())
            say({variable, " is not usable: it must be ", wanted});
    });
    return true;
}

void for_each_setting(SettingVisitor visit) noexcept
{
    const Environment environment;
    if (!environment.readable()) return;
    environment.for_each([visit](std::string_view variable) {
        if (variable.starts_with("LEAK_")) visit(variable);
    });
}

void disown_children(char** environment) noexcept
{
    edit_children(environment, '0', '-');
}

void own_again(char** environment) noexcept
{
    edit_children(environment, '-', '0');
}

bool matches_any(std::string_view patterns, std::string_view name) noexcept
{
    while (!patterns.empty()) {
        const size_t comma = patterns.find(',');
        if (comma == std::string_view::npos) return matches(patterns, name);
        if (matches(head(patterns, comma), name)) return true;
        patterns = tail(patterns, comma + 1);
    }
    return false;
}

} // namespace leak::preload
