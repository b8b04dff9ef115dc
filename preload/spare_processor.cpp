#include "preload/spare_processor.hpp"

#include "preload/os.hpp"

#include <bit>
#include <fcntl.h>

namespace leak::preload {

namespace {

[[nodiscard]] uint64_t take_number(const char*& at) noexcept
{
    uint64_t number = 0;
    while (*at == ' ') ++at;
    for (; *at >= '0' && *at <= '9'; ++at) number = number * 10 + static_cast<uint64_t>(*at - '0');
    return number;
}

} // namespace

void SpareProcessor::begin() noexcept
{
    fd_ = os::open("/proc/thread-self/schedstat", O_RDONLY);
    is_shared_ = is_loaded_ = false;
    Times times{};
    (void)read(times);
    waited_ns_ = times.waited_ns;
    waits_ = 0;
    window_ran_ns_ = times.ran_ns;
    window_began_ns_ = os::clock_ns(CLOCK_MONOTONIC);
    window_pieces_ = 0;
}

bool SpareProcessor::is_there() noexcept
{
    // One wait may be chance. Who shares a processor waits once for some ten buffers, which come meanwhile.
    constexpr uint64_t kWakeUpNs = 200'000; // less is what it takes to wake a processor
    constexpr int kShared = 4;
    constexpr int kOwn = 1;
    Times times{};
    if (!read(times)) return true;
    waits_ = waits_ << 1 | static_cast<uint64_t>(times.waited_ns - waited_ns_ > kWakeUpNs);
    waited_ns_ = times.waited_ns;
    const int waits = std::popcount(waits_);
    is_shared_ = is_shared_ ? waits > kOwn : waits >= kShared;
    look_at_load(times.ran_ns);
    return !is_shared_ && !is_loaded_;
}

// Work that takes all of a processor slows down what runs beside it, and soon the host waits for it. It takes half of
// the time or less without compression before there is time for that again.
void SpareProcessor::look_at_load(uint64_t ran_ns) noexcept
{
    constexpr uint32_t kPieces = 16;
    if (++window_pieces_ < kPieces) return;
    const uint64_t now = os::clock_ns(CLOCK_MONOTONIC);
    const uint64_t ran = ran_ns - window_ran_ns_;
    const uint64_t all = now - window_began_ns_;
    is_loaded_ = is_loaded_ ? ran > all / 2 : ran > all / 8 * 7;
    window_ran_ns_ = ran_ns;
    window_began_ns_ = now;
    window_pieces_ = 0;
}

// The line has the time that the thread ran, the time that it waited, and how often it was put on a processor.
bool SpareProcessor::read(Times& times) const noexcept
{
    char text[80];
    const long bytes = fd_ < 0 ? -1 : os::read_at(fd_, text, sizeof text - 1, 0);
    if (bytes <= 0) return false;
    text[bytes] = 0;
    const char* at = text;
    times.ran_ns = take_number(at);
    times.waited_ns = take_number(at);
    return true;
}

} // namespace leak::preload
