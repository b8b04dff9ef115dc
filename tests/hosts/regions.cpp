// regions: two threads, each with much to do in memory of its own (so that its events share stamps), meet in one new
// MiB after the other. In every second one both make a block, release the other's, make another in its place, and
// release what has taken the place of their own; in the others one makes a block, twice in the same place, and the
// other releases it. Nothing is left. The MiB are addresses alone, of an allocator that leak_alloc() speaks for.
#include "host.hpp"
#include "leak.h"

#include <atomic>
#include <pthread.h>
#include <sched.h>

namespace {

constexpr uint64_t kRegions = 4'000; // few enough that the heap of neither thread is taken for one of them
constexpr size_t kOwnBlocks = 32;
constexpr uint64_t kFirst = uint64_t{1} << 40;
constexpr uint64_t kRegionBytes = 1 << 20;

struct alignas(64) Progress {
    std::atomic<uint64_t> steps;
};
Progress progress[2];

[[nodiscard]] void* block_of(uint64_t region, uint64_t thread)
{
    return reinterpret_cast<void*>(kFirst + region * kRegionBytes + thread * 64);
}

HOST_FRAME void* make_own_block(size_t bytes)
{
    return keep(malloc(bytes));
}
HOST_FRAME void make_block(void* block)
{
    leak_alloc(block, 32);
}
HOST_FRAME void make_again(void* block)
{
    leak_alloc(block, 33);
}

class Visitor {
public:
    explicit Visitor(uint64_t self) : self_(self) {}

    void visit(uint64_t region)
    {
        for (size_t i = 0; i < kOwnBlocks; ++i) free(make_own_block(16 + i));
        if (region % 2 == 0)
            exchange(block_of(region, self_), block_of(region, 1 - self_));
        else
            pass_on(block_of(region, 0), region / 2 % 2 == self_);
    }

private:
    void meet()
    {
        progress[self_].steps.store(++step_, std::memory_order_release);
        while (progress[1 - self_].steps.load(std::memory_order_acquire) < step_) sched_yield();
    }
    void exchange(void* mine, void* others)
    {
        make_block(mine);
        meet();
        leak_free(others);
        make_again(others);
        meet();
        leak_free(mine);
    }
    void pass_on(void* block, bool makes)
    {
        if (makes) make_block(block);
        meet();
        if (!makes) leak_free(block);
        meet();
        if (makes) make_again(block);
        meet();
        if (!makes) leak_free(block);
    }

    uint64_t self_;
    uint64_t step_ = 0;
};

void* run(void* argument)
{
    Visitor visitor(reinterpret_cast<uint64_t>(argument));
    for (uint64_t region = 0; region < kRegions; ++region) visitor.visit(region);
    return nullptr;
}

} // namespace

int main()
{
    pthread_t other{};
    HOST_CHECK(pthread_create(&other, nullptr, run, reinterpret_cast<void*>(1)) == 0);
    run(nullptr);
    pthread_join(other, nullptr);
    say("%lu %lu\n", static_cast<unsigned long>(kRegions), static_cast<unsigned long>(2 * kRegions * kOwnBlocks));
    return 0;
}
