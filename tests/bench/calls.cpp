// What single calls cost: calls COUNT pair|free|malloc|realloc|stamp. Prints ns per call of the named kind on stdout.
//
// Blocks of 64 bytes, 8 frames deep; "free" and "malloc" time one half of a batch of pairs, "stamp" the two time-stamp
// reads that an allocation and its release take.
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <x86intrin.h>

namespace {

constexpr int kBatch = 256;
void* blocks[kBatch];

void keep(void* block)
{
    asm volatile("" ::"r"(block) : "memory");
}

void allocate_all()
{
    for (void*& block : blocks) keep(block = malloc(64));
}
void release_all()
{
    for (void* block : blocks) free(block);
}
void resize_all()
{
    static size_t bytes = 64;
    bytes = bytes == 64 ? 96 : 64;
    for (void*& block : blocks) keep(block = realloc(block, bytes));
}
void stamp_all()
{
    for (int i = 0; i < kBatch; ++i) {
        unsigned core = 0;
        keep(reinterpret_cast<void*>(__rdtscp(&core) + __rdtsc()));
    }
}

using Clock = std::chrono::steady_clock;
double timed_ns = 0;

void timed(void (*work)())
{
    const auto start = Clock::now();
    work();
    timed_ns += std::chrono::duration<double, std::nano>(Clock::now() - start).count();
}

__attribute__((noinline)) void batch(const char* kind, int depth)
{
    if (depth > 0) {
        batch(kind, depth - 1);
        asm volatile("");
        return;
    }
    if (strcmp(kind, "stamp") == 0) return timed(stamp_all);
    strcmp(kind, "malloc") == 0 || strcmp(kind, "pair") == 0 ? timed(allocate_all) : allocate_all();
    if (strcmp(kind, "realloc") == 0) timed(resize_all);
    strcmp(kind, "free") == 0 || strcmp(kind, "pair") == 0 ? timed(release_all) : release_all();
}

} // namespace

int main(int argc, char** argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: calls COUNT pair|free|malloc|realloc|stamp\n");
        return 2;
    }
    const long batches = atol(argv[1]) / kBatch + 1;
    for (long i = 0; i < batches; ++i) batch(argv[2], 8);
    printf("%.2f\n", timed_ns / static_cast<double>(batches * kBatch));
    return 0;
}
