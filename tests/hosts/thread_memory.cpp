// How much memory so many threads take while they live and when they have ended: thread_memory THREADS. Prints the
// resident KiB of the process at both moments.
#include "host.hpp"

#include <atomic>
#include <pthread.h>

namespace {

std::atomic<unsigned> ready{0};
std::atomic<bool> go{false};

void* run(void*)
{
    for (size_t i = 0; i < 20000; ++i) free(keep(malloc(32 + i % 64)));
    ready.fetch_add(1);
    while (!go.load()) usleep(1000);
    return nullptr;
}

void* begin_and_end(void*)
{
    free(keep(malloc(5)));
    return nullptr;
}

long resident_kib()
{
    char text[4096] = {};
    const int fd = open("/proc/self/smaps_rollup", O_RDONLY);
    HOST_CHECK(fd >= 0 && read(fd, text, sizeof text - 1) > 0);
    close(fd);
    const char* line = strstr(text, "Rss:");
    HOST_CHECK(line != nullptr);
    return strtol(line + 4, nullptr, 10);
}

} // namespace

int main(int argc, char** argv)
{
    HOST_CHECK(argc == 2);
    const unsigned count = static_cast<unsigned>(strtoul(argv[1], nullptr, 10));
    static pthread_t threads[1000];
    HOST_CHECK(count <= 1000);
    for (unsigned i = 0; i < count; ++i) { // one after the other: what waits for the tracer's writer is not a thread's
        HOST_CHECK(pthread_create(&threads[i], nullptr, run, nullptr) == 0);
        while (ready.load() <= i) usleep(100);
    }
    const long alive = resident_kib();
    go.store(true);
    for (unsigned i = 0; i < count; ++i) pthread_join(threads[i], nullptr);
    // What ended threads had is taken back when the next one begins; their last buffers are compressed meanwhile.
    pthread_t last;
    HOST_CHECK(pthread_create(&last, nullptr, begin_and_end, nullptr) == 0);
    pthread_join(last, nullptr);
    usleep(1'000'000);
    say("%ld %ld\n", alive, resident_kib());
    return 0;
}
