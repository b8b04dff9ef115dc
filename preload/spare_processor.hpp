// Whether the writer has a processor to spare, or takes its time from the host: how long it waits for one when it has
// work, and how much of the time it works, as the kernel's scheduler counts it (proc(5), /proc/pid/schedstat).
//
// For one thread alone, in a table of descriptors of its own.
#pragma once

#include <cstdint>

namespace leak::preload {

class SpareProcessor {
public:
    // For the thread that is going to ask.
    void begin() noexcept;

    // To be asked once for each piece of work. True where the kernel does not say.
    [[nodiscard]] bool is_there() noexcept;

    // In a forked child.
    void reset() noexcept { fd_ = -1; }

private:
    struct Times {
        uint64_t ran_ns;
        uint64_t waited_ns;
    };
    // Of the thread since it began. False: not known.
    [[nodiscard]] bool read(Times& times) const noexcept;
    void look(const Times& times, uint64_t now_ns) noexcept;

    int fd_ = -1;
    bool is_shared_ = false; // it has to wait for a processor
    bool is_loaded_ = false; // it works nearly all of the time
    // When it was looked at last:
    Times times_{};
    uint64_t at_ns_ = 0;  // of CLOCK_MONOTONIC
    uint32_t pieces_ = 0; // of work since
};

} // namespace leak::preload
