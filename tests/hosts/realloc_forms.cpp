// realloc that grows, shrinks, moves, fails, allocates and frees; each keeps at most one block.
#include "host.hpp"

namespace {

HOST_FRAME void* first_block(size_t bytes)
{
    return keep(malloc(bytes));
}
HOST_FRAME void* grown_block(void* block, size_t bytes)
{
    return keep(realloc(block, opaque(bytes)));
}
HOST_FRAME void* shrunk_block(void* block, size_t bytes)
{
    return keep(realloc(block, opaque(bytes)));
}
HOST_FRAME void* array_block(void* block, size_t count, size_t bytes)
{
    return keep(reallocarray(block, opaque(count), opaque(bytes)));
}
HOST_FRAME void* survivor_of_realloc()
{
    return keep(malloc(77));
}
HOST_FRAME void* survivor_of_reallocarray()
{
    return keep(malloc(78));
}
HOST_FRAME void* survivor_of_overflow()
{
    return keep(malloc(79));
}
HOST_FRAME void* freed_by_realloc()
{
    return keep(malloc(80));
}
HOST_FRAME void* zero_of_null()
{
    return keep(realloc(nullptr, opaque(0)));
}

HOST_FRAME void grow()
{
    auto* text = static_cast<char*>(first_block(1));
    text[0] = 'x';
    for (size_t bytes = 2; bytes <= 4096; bytes *= 2) {
        text = static_cast<char*>(grown_block(text, bytes));
        HOST_CHECK(text != nullptr && text[0] == 'x');
    }
    // 12 times realloc; one block of 4096 bytes stays.
}

HOST_FRAME void shrink()
{
    void* block = shrunk_block(first_block(5000), 50);
    HOST_CHECK(block != nullptr);
}

HOST_FRAME void fail()
{
    void* block = survivor_of_realloc();
    errno = 0;
    HOST_CHECK(realloc(block, opaque(SIZE_MAX / 2 + 4096)) == nullptr);
    HOST_CHECK(errno == ENOMEM);
    block = survivor_of_reallocarray();
    errno = 0;
    HOST_CHECK(reallocarray(block, opaque(2), opaque(SIZE_MAX / 4 + 4096)) == nullptr);
    HOST_CHECK(errno == ENOMEM);
    block = survivor_of_overflow();
    errno = 0;
    HOST_CHECK(reallocarray(block, opaque(SIZE_MAX / 2), opaque(3)) == nullptr);
    HOST_CHECK(errno == ENOMEM);
}

HOST_FRAME void zero()
{
    HOST_CHECK(realloc(freed_by_realloc(), opaque(0)) == nullptr);
    HOST_CHECK(zero_of_null() != nullptr);
}

} // namespace

int main()
{
    grow();
    shrink();
    fail();
    zero();
    void* array = array_block(first_block(8), 10, 12);
    HOST_CHECK(array != nullptr);
    return 0;
}
