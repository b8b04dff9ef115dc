// load THREADS: a load phase and an idle one. In the load phase each thread takes 32 MiB in blocks of 4 KiB, in the
// idle one it has given all but the first 4 MiB back and makes small blocks for a while.
#include "host.hpp"

#include <pthread.h>

namespace {

constexpr size_t kBlock = 4096;
constexpr size_t kLoaded = 8192; // blocks
constexpr size_t kKept = 1024;
constexpr size_t kMostThreads = 4;

char* g_blocks[kMostThreads][kLoaded];

HOST_FRAME void* take_for_load()
{
    return keep(malloc(kBlock));
}

HOST_FRAME void be_busy(int milliseconds)
{
    for (int i = 0; i < milliseconds; ++i) {
        for (int n = 0; n < 500; ++n) free(keep(malloc(32)));
        usleep(1000);
    }
}

void* work(void* argument)
{
    char** const blocks = g_blocks[reinterpret_cast<size_t>(argument)];
    be_busy(100);
    for (size_t i = 0; i < kLoaded; ++i) {
        blocks[i] = static_cast<char*>(take_for_load());
        memset(blocks[i], 1, kBlock);
    }
    be_busy(400);
    for (size_t i = kKept; i < kLoaded; ++i) free(blocks[i]);
    be_busy(400);
    return nullptr;
}

} // namespace

int main(int argc, char** argv)
{
    HOST_CHECK(argc == 2);
    const size_t threads = strtoul(argv[1], nullptr, 10);
    HOST_CHECK(threads >= 1 && threads <= kMostThreads);
    pthread_t workers[kMostThreads];
    for (size_t i = 1; i < threads; ++i)
        HOST_CHECK(pthread_create(&workers[i], nullptr, work, reinterpret_cast<void*>(i)) == 0);
    work(nullptr);
    for (size_t i = 1; i < threads; ++i) pthread_join(workers[i], nullptr);
    return 0;
}
