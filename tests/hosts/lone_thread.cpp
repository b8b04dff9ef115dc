// lone_thread: a thread that is alone, and allocates without a pause (so that its events share stamps), pauses now and
// then, and sets marks. Says when, by CLOCK_MONOTONIC in ns, it began the first allocation after each pause: of 5,000
// bytes, 5,001, and so on. The first one after each mark has 6,000 bytes, 6,001, and so on.
#include "host.hpp"
#include "leak.h"

#include <ctime>

namespace {

constexpr int kRounds = 8;
constexpr int kAtOnce = 100'000;
constexpr useconds_t kPause = 200'000;

HOST_FRAME void* make_block(size_t bytes)
{
    return keep(malloc(bytes));
}

[[nodiscard]] unsigned long now_ns()
{
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<unsigned long>(now.tv_sec) * 1'000'000'000 + static_cast<unsigned long>(now.tv_nsec);
}

void work(size_t blocks)
{
    for (size_t i = 0; i < blocks; ++i) free(make_block(16 + i % 64));
}

} // namespace

int main()
{
    for (size_t i = 0; i < kRounds; ++i) {
        work(kAtOnce);
        usleep(1500); // the writer has done its work, and waits for more
        work(2);
        usleep(kPause);
        const unsigned long began = now_ns();
        free(make_block(5000 + i));
        say("%lu\n", began);
        work(kAtOnce);
        leak_mark("work");
        free(make_block(6000 + i));
    }
    return 0;
}
