// Blocks of no bytes are blocks: two of each kind are made, one is released.
#include "host.hpp"

#include <new>

namespace {

HOST_FRAME void* zero_by_malloc()
{
    return keep(malloc(opaque(0)));
}
HOST_FRAME void* zero_by_calloc()
{
    return keep(calloc(opaque(0), 8));
}
HOST_FRAME void* zero_by_new()
{
    return keep(::operator new(opaque(0)));
}
HOST_FRAME void* zero_by_new_array()
{
    return keep(::operator new[](opaque(0)));
}

} // namespace

int main()
{
    HOST_CHECK(zero_by_malloc() != nullptr);
    free(zero_by_malloc());
    HOST_CHECK(zero_by_calloc() != nullptr);
    free(zero_by_calloc());
    HOST_CHECK(zero_by_new() != nullptr);
    ::operator delete(zero_by_new());
    HOST_CHECK(zero_by_new_array() != nullptr);
    ::operator delete[](zero_by_new_array());
    return 0;
}
