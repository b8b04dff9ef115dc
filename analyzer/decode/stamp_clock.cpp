#include "analyzer/decode/stamp_clock.hpp"

#include "format/clock_pair.hpp"

#include <algorithm>
#include <ctime>

#if defined(__x86_64__)
#include <x86intrin.h>
#endif

namespace leak::analyzer {

namespace {

__extension__ using Wide = unsigned __int128;

// A pair this far from the start calibrates to a millionth; nothing better is looked for.
constexpr uint64_t kEnoughNs = 50'000'000;

[[nodiscard]] uint64_t spacing_ns(const format::ClockPair& start, const format::ClockPair& end)
{
    const bool usable = end.stamp > start.stamp && end.monotonic_ns > start.monotonic_ns;
    return usable ? end.monotonic_ns - start.monotonic_ns : 0;
}

[[nodiscard]] uint64_t now_ns()
{
    timespec now = {};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

} // namespace

StampConverter::StampConverter(const format::ClockPair& start, const format::ClockPair& end) : start_stamp_(start.stamp)
{
    const Wide ns = end.monotonic_ns - start.monotonic_ns;
    const Wide ticks = end.stamp - start.stamp;
    const Wide ratio = (ns << kFractionBits) / ticks;
    ns_per_tick_ = ratio > UINT64_MAX ? UINT64_MAX : static_cast<uint64_t>(ratio);
}

int64_t StampConverter::to_ns(uint64_t stamp) const
{
    const bool before = stamp < start_stamp_;
    const uint64_t ticks = before ? start_stamp_ - stamp : stamp - start_stamp_;
    const Wide ns = (Wide{ticks} * ns_per_tick_) >> kFractionBits;
    // A damaged stamp may lie thousands of years away: held inside what can be added without overflow.
    constexpr uint64_t kMost = INT64_MAX / 4;
    const auto bounded = static_cast<int64_t>(ns > kMost ? kMost : static_cast<uint64_t>(ns));
    return before ? -bounded : bounded;
}

uint64_t StampConverter::to_stamp(int64_t ns) const
{
    if (ns <= 0 || ns_per_tick_ == 0) return start_stamp_;
    const Wide ticks = ((static_cast<Wide>(ns) << kFractionBits) + ns_per_tick_ - 1) / ns_per_tick_;
    const uint64_t most = UINT64_MAX - 1 - std::min(start_stamp_, UINT64_MAX - 1);
    return start_stamp_ + (ticks > most ? most : static_cast<uint64_t>(ticks));
}

std::optional<format::ClockPair> read_clock(format::StampClock clock)
{
    if (clock == format::StampClock::monotonic_ns) return format::read_together(now_ns, now_ns);
#if defined(__x86_64__)
    using enum format::StampClock;
    if (clock == tsc || clock == tsc_64 || clock == tsc_128)
        return format::read_together([clock] { return __rdtsc() >> format::tsc_shift(clock); }, now_ns);
#endif
    return std::nullopt;
}

std::optional<StampConverter> make_converter(const format::FileHeader& header, bool same_boot)
{
    if (header.stamp_clock == format::StampClock::monotonic_ns) return StampConverter(header.start.stamp);
    format::ClockPair best = {};
    if (header.latest_index < 2) best = header.latest[header.latest_index];
    if (same_boot && spacing_ns(header.start, best) < kEnoughNs) {
        const auto now = read_clock(header.stamp_clock);
        if (now && spacing_ns(header.start, *now) > spacing_ns(header.start, best)) best = *now;
    }
    if (spacing_ns(header.start, best) == 0) return std::nullopt;
    return StampConverter(header.start, best);
}

} // namespace leak::analyzer
