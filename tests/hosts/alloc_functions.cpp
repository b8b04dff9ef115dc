// Every allocation function of the C library leaks one block of its own size and frees another of the same size.
#include "host.hpp"

#include <malloc.h>

namespace {

// Frees the first block and keeps the second.
template <typename Allocate> void one_of_two(Allocate allocate)
{
    void* freed = keep(allocate());
    HOST_CHECK(freed != nullptr);
    void* leaked = keep(allocate());
    HOST_CHECK(leaked != nullptr);
    free(freed);
}

HOST_FRAME void* by_malloc()
{
    return keep(malloc(101));
}
HOST_FRAME void* by_calloc()
{
    return keep(calloc(3, 34));
}
HOST_FRAME void* by_realloc()
{
    return keep(realloc(nullptr, 103));
}
HOST_FRAME void* by_reallocarray()
{
    return keep(reallocarray(nullptr, 4, 26));
}
HOST_FRAME void* by_posix_memalign()
{
    void* block = nullptr;
    HOST_CHECK(posix_memalign(&block, 64, 105) == 0);
    return keep(block);
}
HOST_FRAME void* by_aligned_alloc()
{
    return keep(aligned_alloc(64, 192));
}
HOST_FRAME void* by_memalign()
{
    return keep(memalign(32, 107));
}
HOST_FRAME void* by_valloc()
{
    return keep(valloc(108));
}
HOST_FRAME void* by_pvalloc()
{
    return keep(pvalloc(109));
}
HOST_FRAME void* by_strdup()
{
    return keep(strdup("twelve bytes"));
}

} // namespace

int main(int argc, char**)
{
    one_of_two(by_malloc);
    one_of_two(by_calloc);
    one_of_two(by_realloc);
    one_of_two(by_reallocarray);
    one_of_two(by_posix_memalign);
    one_of_two(by_aligned_alloc);
    one_of_two(by_memalign);
    one_of_two(by_valloc);
    if (argc == 1) one_of_two(by_pvalloc); // with an argument: not all allocators have it
    one_of_two(by_strdup);
    free(nullptr);
    return 0;
}
