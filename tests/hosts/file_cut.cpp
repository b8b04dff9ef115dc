// file_cut THREADS: threads allocate and release until standard input ends; prints "ready" when all of them are at it
// and how it went when they are done. A child that was forked in between does as much.
#include "host.hpp"

#include <atomic>
#include <pthread.h>
#include <sys/wait.h>

namespace {

std::atomic<bool> g_done{false};
std::atomic<unsigned> g_at_it{0};

HOST_FRAME void* churn(size_t depth, size_t bytes)
{
    return keep(depth == 0 ? malloc(bytes) : churn(depth - 1, bytes));
}

void* work(void* argument)
{
    uint64_t state = reinterpret_cast<uint64_t>(argument) + 1;
    void* blocks[64] = {};
    for (size_t i = 0; !g_done.load(std::memory_order_relaxed); ++i) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        void*& block = blocks[state >> 58];
        errno = 66;
        free(block);
        block = churn(state >> 50 & 7, 16 + (state >> 40 & 255));
        HOST_CHECK(errno == 66);
        memset(block, 0xee, 16);
        if (i == 20'000) g_at_it.fetch_add(1);
    }
    for (void* block : blocks) free(block);
    return nullptr;
}

} // namespace

int main(int argc, char** argv)
{
    HOST_CHECK(argc == 2);
    const unsigned count = static_cast<unsigned>(atoi(argv[1]));
    pthread_t threads[16];
    HOST_CHECK(count <= 16);
    for (size_t i = 0; i < count; ++i)
        HOST_CHECK(pthread_create(&threads[i], nullptr, work, reinterpret_cast<void*>(i)) == 0);
    while (g_at_it.load() < count) usleep(1000);
    say("ready\n");
    char byte;
    while (read(STDIN_FILENO, &byte, 1) > 0) continue;
    const pid_t child = fork();
    if (child == 0) {
        for (int i = 0; i < 1000; ++i) free(churn(3, 50));
        _exit(7);
    }
    int status = 0;
    HOST_CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 7);
    g_done.store(true);
    for (size_t i = 0; i < count; ++i) pthread_join(threads[i], nullptr);
    say("done\n");
    return 0;
}
