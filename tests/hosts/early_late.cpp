// Allocation before main and after it: constructors, static objects, atexit, static destructors, destructor functions.
// Each place leaks a block of its own size, and releases what another place made.
#include "host.hpp"

namespace {

void* passed_on = nullptr;

HOST_FRAME void* leak_in_constructor_function()
{
    return keep(malloc(61));
}
HOST_FRAME void* leak_in_static_constructor()
{
    return keep(malloc(62));
}
HOST_FRAME void* leak_in_main()
{
    return keep(malloc(63));
}
HOST_FRAME void* leak_in_atexit()
{
    return keep(malloc(64));
}
HOST_FRAME void* leak_in_static_destructor()
{
    return keep(malloc(65));
}
HOST_FRAME void* leak_in_destructor_function()
{
    return keep(malloc(66));
}
HOST_FRAME void* freed_later()
{
    return keep(malloc(70));
}

__attribute__((constructor)) void constructor_function()
{
    leak_in_constructor_function();
    passed_on = freed_later();
}

struct Static {
    void* block = freed_later();
    Static() { leak_in_static_constructor(); }
    ~Static()
    {
        leak_in_static_destructor();
        free(block);
    }
};
Static object;

void at_exit()
{
    leak_in_atexit();
    free(passed_on);
    passed_on = freed_later();
}

__attribute__((destructor)) void destructor_function()
{
    leak_in_destructor_function();
    free(passed_on);
}

} // namespace

int main()
{
    leak_in_main();
    HOST_CHECK(atexit(at_exit) == 0);
    return 5;
}
