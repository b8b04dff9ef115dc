// Threads in a ring hand every block they make to the next thread, which releases it (every third one after a realloc).
// Nothing is left, so every release must find its allocation, whatever the threads' interleaving.
//   handoff [BLOCKS_A_THREAD [THREADS [BLOCKS_ON_THE_WAY]]]     of one block on the way the address is used again at
//   once
#include "host.hpp"

#include <atomic>
#include <pthread.h>
#include <sched.h>

namespace {

constexpr size_t kMostThreads = 64;
constexpr size_t kMostSlots = 64;
size_t blocks_per_thread = 20000;
size_t threads = 8;
size_t slots = kMostSlots;

struct alignas(64) Channel {
    std::atomic<void*> slots[kMostSlots];
};
Channel channels[kMostThreads];

HOST_FRAME void* make_block(size_t number)
{
    return keep(malloc(16 + number % 200));
}
HOST_FRAME void* remake_block(void* block, size_t number)
{
    return keep(realloc(block, 16 + number % 400));
}
HOST_FRAME void release_block(void* block)
{
    free(block);
}

void* run(void* argument)
{
    const size_t self = reinterpret_cast<size_t>(argument);
    Channel& inbox = channels[self];
    Channel& outbox = channels[(self + 1) % threads];
    size_t made = 0, released = 0;
    while (made < blocks_per_thread || released < blocks_per_thread) {
        bool idle = true;
        if (made < blocks_per_thread && outbox.slots[made % slots].load(std::memory_order_acquire) == nullptr) {
            outbox.slots[made % slots].store(make_block(made), std::memory_order_release);
            ++made;
            idle = false;
        }
        if (released < blocks_per_thread) {
            void* block = inbox.slots[released % slots].exchange(nullptr, std::memory_order_acq_rel);
            if (block != nullptr) {
                if (released % 3 == 0) block = remake_block(block, released);
                release_block(block);
                ++released;
                idle = false;
            }
        }
        if (idle) sched_yield();
    }
    return nullptr;
}

} // namespace

int main(int argc, char** argv)
{
    if (argc > 1) blocks_per_thread = strtoul(argv[1], nullptr, 10);
    if (argc > 2) threads = strtoul(argv[2], nullptr, 10);
    if (argc > 3) slots = strtoul(argv[3], nullptr, 10);
    HOST_CHECK(threads >= 1 && threads <= kMostThreads && slots >= 1 && slots <= kMostSlots);
    pthread_t all[kMostThreads];
    for (size_t i = 0; i < threads; ++i)
        HOST_CHECK(pthread_create(&all[i], nullptr, run, reinterpret_cast<void*>(i)) == 0);
    for (size_t i = 0; i < threads; ++i) pthread_join(all[i], nullptr);
    say("%zu blocks, %zu reallocs\n", threads * blocks_per_thread, threads * ((blocks_per_thread + 2) / 3));
    return 0;
}
