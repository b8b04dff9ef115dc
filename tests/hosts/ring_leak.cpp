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
    for (size_t i = 0; i < blocks; ++i) {
        const size_t size = 16 + i * 2654435761u % 64;
        void* block = leak_small(size);
        bytes += size;
        if (i < released) early[i] = block;
        if (i % 1000 == 0) leak_large();
    }
    for (size_t i = 0; i < released; ++i) free(early[i]);
    const int truth = open("truth", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    dprintf(truth, "%zu %zu %zu\n", blocks, bytes, (blocks + 999) / 1000);
    return 0;
}
