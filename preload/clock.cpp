#include "preload/clock.hpp"

#include "preload/os.hpp"

#include <cpuid.h>
#include <cstring>
#include <ctime>

namespace leak::preload {

namespace {

[[nodiscard]] bool counter_is_invariant() noexcept
{
    unsigned a = 0;
    unsigned b = 0;
    unsigned c = 0;
    unsigned d = 0;
    if (__get_cpuid(0x80000007, &a, &b, &c, &d) == 0 || (d & 1u << 8) == 0) return false; // invariant TSC
    return __get_cpuid(0x80000001, &a, &b, &c, &d) != 0 && (d & 1u << 27) != 0;           // RDTSCP
}

// The kernel checks the counters of all cores against each other and leaves them when they disagree.
[[nodiscard]] bool kernel_trusts_counter() noexcept
{
    char name[32] = {};
    const long bytes =
        os::read_file("/sys/devices/system/clocksource/clocksource0/current_clocksource", name, sizeof name - 1);
    return bytes <= 0 || std::strncmp(name, "tsc", 3) == 0 || std::strncmp(name, "kvm-clock", 9) == 0 ||
           std::strncmp(name, "hyperv_clocksource_tsc_page", 27) == 0;
}

} // namespace

void Clock::init() noexcept
{
    if (counter_is_invariant() && kernel_trusts_counter()) kind_ = format::StampClock::tsc_128;
}

uint64_t Clock::monotonic_ns() noexcept
{
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now); // by the vDSO; can't fail and so leaves errno alone
    return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000u + static_cast<uint64_t>(now.tv_nsec);
}

} // namespace leak::preload
