// keeper BLOCKS CHANGES: keeps so many small blocks, and replaces one chosen at random so many times. Then waits until
// its standard input ends.
#include "host.hpp"

namespace {

struct Random {
    uint64_t state = 1;
    uint64_t next()
    {
        state = state * 6364136223846793005u + 1442695040888963407u;
        return state >> 33;
    }
};

HOST_FRAME void* allocate(size_t bytes)
{
    return keep(malloc(bytes));
}

} // namespace

int main(int argc, char** argv)
{
    HOST_CHECK(argc == 3);
    const size_t blocks = strtoul(argv[1], nullptr, 10);
    const size_t changes = strtoul(argv[2], nullptr, 10);
    void* const memory =
        mmap(nullptr, blocks * sizeof(void*), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    HOST_CHECK(memory != MAP_FAILED);
    auto** const kept = static_cast<void**>(memory);
    Random random;
    for (size_t i = 0; i < blocks; ++i) kept[i] = allocate(8 + random.next() % 56);
    for (size_t i = 0; i < changes; ++i) {
        void*& block = kept[random.next() % blocks];
        free(block);
        block = allocate(8 + random.next() % 56);
    }
    say("done\n");
    char byte;
    while (read(STDIN_FILENO, &byte, 1) > 0) {}
    return 0;
}
