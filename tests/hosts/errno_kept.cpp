// errno: untouched by calls that succeed and by free; ENOMEM after those that fail. And what the host sees of the
// allocator (usable sizes, alignment) is the same as untraced: the output of both runs is compared.
#include "host.hpp"

#include <initializer_list>
#include <malloc.h>
#include <new>

int main()
{
    for (const size_t bytes :
         {size_t{0}, size_t{1}, size_t{24}, size_t{25}, size_t{1000}, size_t{100000}, size_t{10000000}}) {
        errno = 1234;
        void* block = keep(malloc(bytes));
        HOST_CHECK(errno == 1234);
        say("%zu usable %zu aligned %d\n", bytes, malloc_usable_size(block),
            reinterpret_cast<uintptr_t>(block) % 16 == 0);
        block = keep(realloc(block, bytes + 10));
        HOST_CHECK(errno == 1234);
        free(block);
        HOST_CHECK(errno == 1234);
        block = keep(calloc(1, bytes));
        HOST_CHECK(errno == 1234);
        for (size_t at = 0; at < bytes; at += 512) HOST_CHECK(static_cast<char*>(block)[at] == 0);
        free(block);
        block = keep(::operator new(bytes));
        HOST_CHECK(errno == 1234);
        ::operator delete(block);
        HOST_CHECK(errno == 1234);
    }
    // Many events: the buffers change hands meanwhile, by system calls that must not show.
    for (int i = 0; i < 300000; ++i) {
        errno = i & 127;
        void* block = keep(malloc(static_cast<size_t>(i & 255)));
        HOST_CHECK(errno == (i & 127));
        free(block);
        HOST_CHECK(errno == (i & 127));
    }
    errno = 0;
    HOST_CHECK(malloc(opaque(SIZE_MAX / 2 + 1)) == nullptr);
    HOST_CHECK(errno == ENOMEM);
    errno = 0;
    HOST_CHECK(mmap(nullptr, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED);
    HOST_CHECK(errno == EINVAL);
    HOST_CHECK(munmap(reinterpret_cast<void*>(1), 4096) == -1 && errno == EINVAL);
    return 0;
}
