// Exact stacks: main -> outer -> (inlined middle) -> inner -> malloc, and recursion deeper than the depth limit.
#include "host.hpp"

namespace {

HOST_FRAME void* inner(size_t bytes)
{
    return keep(malloc(bytes));
}
__attribute__((always_inline)) inline void* middle(size_t bytes)
{
    return keep(inner(bytes + 1));
}
HOST_FRAME void* outer(size_t bytes)
{
    return keep(middle(bytes * 2));
}

HOST_FRAME void* deep(int levels)
{
    if (levels == 0) return keep(malloc(77));
    return keep(deep(levels - 1));
}

HOST_FRAME void* even(int levels);
HOST_FRAME void* odd(int levels)
{
    return keep(levels == 0 ? malloc(88) : even(levels - 1));
}
HOST_FRAME void* even(int levels)
{
    return keep(levels == 0 ? malloc(99) : odd(levels - 1));
}

} // namespace

int main()
{
    outer(100); // 201 bytes
    for (int i = 0; i < 3; ++i) outer(50);
    deep(1000);
    deep(10);
    even(7); // ends in odd
    even(8); // ends in even
    return 0;
}
