// ring_work COUNTERS THREADS OPERATIONS SEED [forever|small]: threads that allocate, release, move, hand over to each
// other and map and unmap at random, on many stacks, and leave something behind; first of all each leaks a few blocks.
// What is live is counted by the program itself, in shared memory, in the order in which calls complete: a reader of
// the counters of a killed run knows the least that its trace must hold. "small": no large blocks, so that the
// program's own memory stays what it is after its first moments.
//
// Counters of thread t: [4t] allocations, [4t + 1] releases. At the end the file "truth" has live blocks and bytes by
// site, and the sums of the counters; the file "threads" the number and the tid of each.
#include "host.hpp"

#include <atomic>
#include <pthread.h>
#include <utility>

namespace {

constexpr size_t kMostThreads = 16;
constexpr size_t kSites = 8;
constexpr size_t kBlocks = 2048; // of a thread
constexpr size_t kEarlyLeaks = 40;

struct Block {
    void* at;
    size_t bytes;
    size_t site;
};

struct Live {
    std::atomic<int64_t> blocks{0};
    std::atomic<int64_t> bytes{0};
};

Live g_live[kSites];
Block g_table[kMostThreads][kBlocks];
Block g_mailbox; // a block on its way to another thread
pthread_mutex_t g_mailbox_lock = PTHREAD_MUTEX_INITIALIZER;
SharedCounter* g_counters = nullptr;
pid_t g_tids[kMostThreads];
size_t g_operations = 0;
uint64_t g_seed = 0;
bool g_forever = false;
bool g_small = false;

struct Random {
    uint64_t state;
    uint64_t next()
    {
        state = state * 6364136223846793005u + 1442695040888963407u;
        return state >> 33;
    }
    uint64_t below(uint64_t bound) { return next() % bound; }
};

template <size_t Site> HOST_FRAME void* allocate_at(size_t depth, size_t bytes)
{
    return keep(depth == 0 ? malloc(bytes) : allocate_at<Site>(depth - 1, bytes));
}
template <size_t Site> HOST_FRAME void* move_at(void* block, size_t bytes)
{
    return keep(realloc(block, bytes));
}
template <size_t Thread> HOST_FRAME void* early_leak(size_t bytes)
{
    return keep(malloc(bytes));
}
HOST_FRAME void* map_pages(size_t pages)
{
    void* at = mmap(nullptr, pages * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    HOST_CHECK(at != MAP_FAILED);
    return at;
}

using Allocate = void* (*)(size_t, size_t);
constexpr Allocate kAllocate[kSites] = {allocate_at<0>, allocate_at<1>, allocate_at<2>, allocate_at<3>,
                                        allocate_at<4>, allocate_at<5>, allocate_at<6>, allocate_at<7>};
using Move = void* (*)(void*, size_t);
constexpr Move kMove[kSites] = {move_at<0>, move_at<1>, move_at<2>, move_at<3>,
                                move_at<4>, move_at<5>, move_at<6>, move_at<7>};
template <size_t... Thread> void* leak_early(size_t thread, size_t bytes, std::index_sequence<Thread...>)
{
    void* block = nullptr;
    static_cast<void>(((Thread == thread && (block = early_leak<Thread>(bytes)) != nullptr) || ...));
    return block;
}

void add(size_t site, int64_t blocks, int64_t bytes)
{
    g_live[site].blocks.fetch_add(blocks, std::memory_order_relaxed);
    g_live[site].bytes.fetch_add(bytes, std::memory_order_relaxed);
}

struct Worker {
    size_t number;
    Random random;
    SharedCounter* counters;

    void make(Block& block)
    {
        const size_t site = random.below(kSites);
        const size_t bytes = !g_small && random.below(64) == 0 ? 1 + random.below(200'000) : 1 + random.below(600);
        block = {kAllocate[site](random.below(24), bytes), bytes, site};
        count(counters[0]);
        add(site, 1, static_cast<int64_t>(bytes));
    }
    void drop(Block& block)
    {
        free(block.at);
        count(counters[1]);
        add(block.site, -1, -static_cast<int64_t>(block.bytes));
        block.at = nullptr;
    }
    void move(Block& block)
    {
        const size_t site = random.below(kSites);
        const size_t bytes = 1 + random.below(1000);
        block.at = kMove[site](block.at, bytes);
        count(counters[1]);
        count(counters[0]);
        add(block.site, -1, -static_cast<int64_t>(block.bytes));
        add(site, 1, static_cast<int64_t>(bytes));
        block.bytes = bytes;
        block.site = site;
    }
    // Leaves the block for whoever looks next, or releases the one that lies there.
    void hand_over(Block& block)
    {
        pthread_mutex_lock(&g_mailbox_lock);
        std::swap(g_mailbox, block);
        pthread_mutex_unlock(&g_mailbox_lock);
        if (block.at != nullptr) drop(block);
    }
    void map_and_unmap()
    {
        char* at = static_cast<char*>(map_pages(8));
        HOST_CHECK(munmap(at + 2 * 4096, 4096) == 0); // a hole
        HOST_CHECK(munmap(at, 8 * 4096) == 0);
    }

    void run()
    {
        g_tids[number] = gettid();
        for (size_t i = 0; i < kEarlyLeaks; ++i) {
            leak_early(number, 1000 + number, std::make_index_sequence<kMostThreads>());
            count(counters[0]);
        }
        Block* const blocks = g_table[number];
        for (size_t i = 0; g_forever || i < g_operations; ++i) {
            Block& block = blocks[random.below(kBlocks)];
            const uint64_t what = random.below(1000);
            if (what == 0)
                map_and_unmap();
            else if (block.at == nullptr)
                make(block);
            else if (what < 100)
                move(block);
            else if (what < 200)
                hand_over(block);
            else
                drop(block);
        }
    }
};

void* work(void* argument)
{
    const auto number = reinterpret_cast<size_t>(argument);
    Worker worker{number, {g_seed * 977 + number}, g_counters + 4 * number};
    worker.run();
    return nullptr;
}

} // namespace

int main(int argc, char** argv)
{
    HOST_CHECK(argc >= 5);
    g_counters = map_counters(argv[1]);
    const size_t threads = strtoul(argv[2], nullptr, 10);
    g_operations = strtoul(argv[3], nullptr, 10);
    g_seed = strtoul(argv[4], nullptr, 10);
    g_forever = argc > 5 && strcmp(argv[5], "forever") == 0;
    g_small = argc > 5 && strcmp(argv[5], "small") == 0;
    HOST_CHECK(threads >= 1 && threads <= kMostThreads);
    pthread_t workers[kMostThreads];
    for (size_t i = 1; i < threads; ++i)
        HOST_CHECK(pthread_create(&workers[i], nullptr, work, reinterpret_cast<void*>(i)) == 0);
    work(nullptr);
    for (size_t i = 1; i < threads; ++i) pthread_join(workers[i], nullptr);
    char* late = static_cast<char*>(map_pages(4));
    HOST_CHECK(munmap(late + 4096, 4096) == 0);
    const int truth = open("truth", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    for (size_t site = 0; site < kSites; ++site)
        dprintf(truth, "%zu %lld %lld\n", site, static_cast<long long>(g_live[site].blocks.load()),
                static_cast<long long>(g_live[site].bytes.load()));
    uint64_t allocations = 0;
    uint64_t releases = 0;
    for (size_t i = 0; i < threads; ++i) {
        allocations += g_counters[4 * i].completed;
        releases += g_counters[4 * i + 1].completed;
    }
    dprintf(truth, "all %llu %llu\n", static_cast<unsigned long long>(allocations),
            static_cast<unsigned long long>(releases));
    const int numbers = open("threads", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    for (size_t i = 0; i < threads; ++i) dprintf(numbers, "%zu %d\n", i, g_tids[i]);
    return 0;
}
