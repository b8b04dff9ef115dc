// Blocks released by a function of another family than they came from: 5 times; and once each the right way.
#include "host.hpp"

#include <new>

namespace {

HOST_FRAME void* new_for_free()
{
    return keep(::operator new(301));
}
HOST_FRAME void* malloc_for_delete()
{
    return keep(malloc(302));
}
HOST_FRAME void* array_for_delete()
{
    return keep(::operator new[](303));
}
HOST_FRAME void* new_for_array_delete()
{
    return keep(::operator new(304));
}
HOST_FRAME void* array_for_free()
{
    return keep(::operator new[](305));
}

} // namespace

int main()
{
    free(new_for_free());
    ::operator delete(malloc_for_delete());
    ::operator delete(array_for_delete());
    ::operator delete[](new_for_array_delete());
    free(array_for_free());

    free(malloc_for_delete());
    ::operator delete(new_for_free());
    ::operator delete[](array_for_delete());
    return 0;
}
