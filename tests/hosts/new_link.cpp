// Linked with another allocator: leaks, releases, hands blocks to another thread. See new_forms and handoff for more.
#include "host.hpp"

#include <new>
#include <thread>

namespace {

HOST_FRAME void* leak_by_malloc()
{
    return keep(malloc(111));
}
HOST_FRAME void* leak_by_aligned_new()
{
    return keep(::operator new(114, std::align_val_t{64}));
}
HOST_FRAME void* leak_by_new()
{
    return keep(::operator new(112));
}
HOST_FRAME void* leak_by_aligned()
{
    void* block = nullptr;
    HOST_CHECK(posix_memalign(&block, 256, 113) == 0);
    return keep(block);
}
HOST_FRAME void* churn(size_t bytes)
{
    return keep(malloc(bytes));
}

} // namespace

int main()
{
    leak_by_malloc();
    // jemalloc's aligned operator new calls the public aligned_alloc, its plain one does not call the public malloc:
    // what is learnt from the one must not be applied to the other.
    leak_by_aligned_new();
    ::operator delete(leak_by_aligned_new(), std::align_val_t{64});
    leak_by_new();
    ::operator delete(leak_by_new());
    leak_by_aligned();
    for (size_t i = 0; i < 10000; ++i) {
        void* block = churn(i % 3000);
        if (i % 4 == 0)
            std::thread([block] { free(block); }).join();
        else if (i % 4 == 1)
            free(realloc(block, i % 5000 + 1));
        else
            free(block);
        if (i % 10 == 0) ::operator delete(keep(::operator new(i % 700)));
    }
    return 0;
}
