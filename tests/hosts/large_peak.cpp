// large_peak BYTES: two threads with much to do in memory of their own (so that their events share stamps) take turns
// in holding a block of BYTES, and once hold one each at the same time.
#include "host.hpp"

#include <atomic>
#include <pthread.h>
#include <sched.h>

namespace {

constexpr int kRounds = 20;
size_t bytes = 1'000'000;
std::atomic<unsigned> steps[2];

HOST_FRAME void* make_small(size_t size)
{
    return keep(malloc(size));
}
HOST_FRAME void* make_large()
{
    return keep(malloc(bytes));
}

void work(int blocks)
{
    for (int i = 0; i < blocks; ++i) free(make_small(16 + static_cast<size_t>(i) % 64));
}

void meet(int self, unsigned step)
{
    steps[self].store(step, std::memory_order_release);
    while (steps[1 - self].load(std::memory_order_acquire) < step) sched_yield();
}

void* run(void* argument)
{
    const auto self = static_cast<int>(reinterpret_cast<intptr_t>(argument));
    unsigned step = 0;
    work(300'000); // the writer is at it
    for (int round = 0; round <= kRounds; ++round) {
        work(2003);
        meet(self, ++step);
        void* block = nullptr;
        for (int turn = 0; turn < 2; ++turn) {
            if (turn == self) block = make_large();
            if (round < kRounds) {
                free(block);
                block = nullptr;
            }
            meet(self, ++step);
        }
        free(block);
        meet(self, ++step);
    }
    work(20'000);
    return nullptr;
}

} // namespace

int main(int argc, char** argv)
{
    if (argc > 1) bytes = strtoul(argv[1], nullptr, 10);
    pthread_t other{};
    HOST_CHECK(pthread_create(&other, nullptr, run, reinterpret_cast<void*>(1)) == 0);
    run(nullptr);
    pthread_join(other, nullptr);
    return 0;
}
