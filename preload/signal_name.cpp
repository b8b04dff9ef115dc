#include "preload/signal_name.hpp"

#include "preload/text.hpp"

#include <csignal>
#include <iterator>

namespace leak::preload {

namespace {

// glibc keeps 32 and 33 to itself; what it calls SIGRTMIN is a function.
constexpr int kFirstRealTime = 34;
constexpr int kLastRealTime = 64;

constexpr std::string_view kNames[] = {
    "",     "HUP",  "INT",  "QUIT", "ILL",    "TRAP",   "ABRT",  "BUS",  "FPE",  "KILL", "USR1",
    "SEGV", "USR2", "PIPE", "ALRM", "TERM",   "STKFLT", "CHLD",  "CONT", "STOP", "TSTP", "TTIN",
    "TTOU", "URG",  "XCPU", "XFSZ", "VTALRM", "PROF",   "WINCH", "IO",   "PWR",  "SYS",
};

// A number of at most two digits, or -1.
[[nodiscard]] int small_number(std::string_view text) noexcept
{
    if (text.empty() || text.size() > 2) return -1;
    int number = 0;
    for (const char digit : text) {
        if (digit < '0' || digit > '9') return -1;
        number = number * 10 + (digit - '0');
    }
    return number;
}

[[nodiscard]] bool can_be_caught(int signal) noexcept
{
    switch (signal) {
    case SIGKILL:
    case SIGSTOP:
    case SIGSEGV:
    case SIGBUS:
    case SIGILL:
    case SIGFPE:
    case SIGTRAP:
    case SIGABRT:
        return false;
    default:
        return signal > 0 && signal <= kLastRealTime && (signal < 32 || signal >= kFirstRealTime);
    }
}

[[nodiscard]] int number_of(std::string_view name) noexcept
{
    if (const int number = small_number(name); number >= 0) return number;
    if (name.starts_with("SIG")) name = tail(name, 3);
    if (name == "RTMIN") return kFirstRealTime;
    if (name == "RTMAX") return kLastRealTime;
    const bool from_first = name.starts_with("RTMIN+");
    if (from_first || name.starts_with("RTMAX-")) {
        const int distance = small_number(tail(name, 6));
        if (distance < 0 || distance > kLastRealTime - kFirstRealTime) return 0;
        return from_first ? kFirstRealTime + distance : kLastRealTime - distance;
    }
    for (size_t i = 1; i < std::size(kNames); ++i)
        if (name == kNames[i]) return static_cast<int>(i);
    return 0;
}

} // namespace

int signal_named(std::string_view name) noexcept
{
    const int number = number_of(name);
    return can_be_caught(number) ? number : 0;
}

} // namespace leak::preload
