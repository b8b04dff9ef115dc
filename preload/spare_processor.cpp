#include "preload/spare_processor.hpp"

#include "preload/os.hpp"

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
    (void)read(times_);
    at_ns_ = os::clock_ns(CLOCK_MONOTONIC);
    pieces_ = 0;
}

bool SpareProcessor::is_there() noexcept
{
    // One wait of some milliseconds is chance; and what was chance is soon over.
    constexpr uint32_t kPiecesCompressed = 64;
    constexpr uint32_t kPiecesStored = 16;
    if (++pieces_ >= (is_shared_ || is_loaded_ ? kPiecesStored : kPiecesCompressed)) {
        pieces_ = 0;
        if (Times times{}; read(times)) look(times, os::clock_ns(CLOCK_MONOTONIC));
    }
    return !is_shared_ && !is_loaded_;
}

void SpareProcessor::look(const Times& times, uint64_t now_ns) noexcept
{
    const uint64_t ran = times.ran_ns - times_.ran_ns;
    const uint64_t waited = times.waited_ns - times_.waited_ns;
    const uint64_t all = now_ns - at_ns_;
    // Compressing, who shares a processor waits 0.9 to 16 times as long as it works, and who has one 0.1, by chance
    // 0.6. Without compression, which is a third of the work: 3.4 times and more, and by chance 0.9.
    is_shared_ = is_shared_ ? waited > ran / 2 * 3 : waited > ran / 4 * 3;
    // Work that takes all of a processor slows down what runs beside it, and soon the host waits for it. It takes half
    // of the time or less without compression before there is time for that again.
    is_loaded_ = is_loaded_ ? ran > all / 2 : ran > all / 8 * 7;
    times_ = times;
    at_ns_ = now_ns;
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
