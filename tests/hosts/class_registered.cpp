// Pointers in memory that is not looked at by itself, a file mapped shared: with leak_root() and without.
#include "host.hpp"
#include "leak.h"

namespace {

constexpr size_t kBytes = 1 << 16;

void* volatile* map_file()
{
    const int file = memfd_create("class_registered", MFD_CLOEXEC);
    HOST_CHECK(file >= 0 && ftruncate(file, kBytes) == 0);
    void* map = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    HOST_CHECK(map != MAP_FAILED);
    return static_cast<void* volatile*>(map);
}

HOST_FRAME void in_registered_memory()
{
    void* volatile* slots = map_file();
    slots[1000] = malloc(1201);
    leak_root(const_cast<void**>(slots), kBytes);
}
HOST_FRAME void beside_registered_memory()
{
    void* volatile* slots = map_file();
    slots[1000] = malloc(1202);
    leak_root(const_cast<void**>(slots), 1000 * sizeof *slots);
}
HOST_FRAME void in_file()
{
    map_file()[1000] = malloc(1203);
}

} // namespace

int main()
{
    in_registered_memory();
    beside_registered_memory();
    in_file();
    scrub_stack();
    end_host();
}
