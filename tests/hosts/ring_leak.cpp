// ring_leak BLOCKS RELEASED: leaks so many small blocks, and a large one for every thousand, then releases the first
// RELEASED small ones. Writes what is left to "truth".
#include "host.hpp"

namespace {

HOST_FRAME void* leak_small(size_t bytes)
{
    return keep(malloc(bytes));
}
HOST_FRAME void* leak_large()
{
    return keep(malloc(5000));
}

} // namespace

int main(int argc, char** argv)
{
    HOST_CHECK(argc == 3);
    const size_t blocks = strtoul(argv[1], nullptr, 10);
    const size_t released = strtoul(argv[2], nullptr, 10);
    void** early = static_cast<void**>(
        mmap(nullptr, (released + 1) * sizeof(void*), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    HOST_CHECK(early != MAP_FAILED);
    size_t bytes = 0;
    // What repeats would take no room: sizes and, by blocks that come and go, addresses are at random.
    uint32_t random = 1;
    void* passing[256] = {};
    for (size_t i = 0; i < blocks; ++i) {
        random = random * 1103515245 + 12345;
        const size_t size = 16 + (random >> 16) % 64;
        void*& passed = passing[random >> 24];
        free(passed);
        passed = keep(malloc(size));
        void* block = leak_small(size);
        bytes += size;
        if (i < released) early[i] = block;
        if (i % 1000 == 0) leak_large();
    }
    for (size_t i = 0; i < released; ++i) free(early[i]);
    for (void* passed : passing) free(passed);
    const int truth = open("truth", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    dprintf(truth, "%zu %zu %zu\n", blocks, bytes, (blocks + 999) / 1000);
    return 0;
}
