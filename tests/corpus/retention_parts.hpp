// What programs of known retention are made of: a load that is soon over, and time before and after it.
#pragma once

#include "parts.hpp"

#include <cstring>

namespace corpus {

constexpr size_t kMegabyte = 1 << 20;

// Answers requests, and calls use(number) for every tenth while load lasts and at rest. The rest is so long that what
// was made before the load, however slow the machine, was made in the first half of the run.
template <class Use> void short_load(Driver& driver, Use use)
{
    const milliseconds rest = std::max(300ms, 2 * driver.begin_anew());
    driver.idle(50ms);
    driver.load(300ms, 1000, [&](unsigned number) {
        answer(number);
        if (number % 10 == 0) use(number / 10);
    });
    for (unsigned round = 0; round < 10; ++round) {
        driver.idle(rest / 10);
        use(round);
    }
    Driver::end();
}
inline void short_load(Driver& driver)
{
    short_load(driver, [](unsigned) {});
}

// Changes, or reads, the part `round` of ten parts.
inline void write_tenth(std::span<char> memory, unsigned round)
{
    const size_t part = memory.size() / 10 + 1;
    const size_t from = round % 10 * part;
    for (size_t at = from; at < std::min(from + part, memory.size()); at += 512) ++memory[at];
}
inline unsigned read_tenth(std::span<const char> memory, unsigned round)
{
    const size_t part = memory.size() / 10 + 1;
    const size_t from = round % 10 * part;
    unsigned sum = 0;
    for (size_t at = from; at < std::min(from + part, memory.size()); at += 512)
        sum += static_cast<unsigned char>(memory[at]);
    return sum;
}

// The script is over and nothing has been taken down: what is kept is what a long run would have.
[[noreturn]] inline void leave()
{
    std::fflush(nullptr);
    _exit(0);
}

} // namespace corpus
