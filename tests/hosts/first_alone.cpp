// first_alone: a thread that was alone hands blocks to one that has just begun, which releases them, and is given their
// memory again at once. Nothing is left.
#include "host.hpp"

#include <atomic>
#include <pthread.h>
#include <sched.h>

namespace {

constexpr int kBlocks = 500;
constexpr size_t kBytes = 100'000; // too large for the allocator to keep it for the thread that releases it

std::atomic<void*> handed_over{nullptr};

HOST_FRAME void* make_block()
{
    return keep(malloc(kBytes));
}

void* release_blocks(void*)
{
    for (int i = 0; i < kBlocks; ++i) {
        void* block = nullptr;
        while ((block = handed_over.load(std::memory_order_acquire)) == nullptr) sched_yield();
        free(block);
        handed_over.store(nullptr, std::memory_order_release);
    }
    return nullptr;
}

} // namespace

int main()
{
    for (int i = 0; i < kBlocks; ++i) free(make_block());
    pthread_t other{};
    HOST_CHECK(pthread_create(&other, nullptr, release_blocks, nullptr) == 0);
    for (int i = 0; i < kBlocks; ++i) {
        handed_over.store(make_block(), std::memory_order_release);
        while (handed_over.load(std::memory_order_acquire) != nullptr) sched_yield();
    }
    pthread_join(other, nullptr);
    return 0;
}
