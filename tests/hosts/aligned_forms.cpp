// Alignment is what was asked for, and calls that fail record nothing.
#include "host.hpp"

#include <malloc.h>

namespace {

bool is_aligned(const void* block, size_t alignment)
{
    return reinterpret_cast<uintptr_t>(block) % alignment == 0;
}

HOST_FRAME void* aligned_to(size_t alignment, size_t bytes)
{
    void* block = nullptr;
    HOST_CHECK(posix_memalign(&block, alignment, bytes) == 0);
    HOST_CHECK(is_aligned(block, alignment));
    return keep(block);
}

} // namespace

int main()
{
    for (size_t alignment = sizeof(void*); alignment <= 65536; alignment *= 2) aligned_to(alignment, 40); // 14 blocks

    void* untouched = reinterpret_cast<void*>(0x1234);
    HOST_CHECK(posix_memalign(&untouched, opaque(3), 16) == EINVAL);
    HOST_CHECK(posix_memalign(&untouched, opaque(64), opaque(SIZE_MAX / 2 + 4096)) == ENOMEM);
    HOST_CHECK(untouched == reinterpret_cast<void*>(0x1234));
    errno = 0;
    HOST_CHECK(aligned_alloc(opaque(64), opaque(SIZE_MAX / 2 + 4096)) == nullptr && errno == ENOMEM);
    errno = 0;
    HOST_CHECK(memalign(opaque(64), opaque(SIZE_MAX / 2 + 4096)) == nullptr && errno == ENOMEM);
    errno = 0;
    HOST_CHECK(valloc(opaque(SIZE_MAX / 2 + 4096)) == nullptr && errno == ENOMEM);
    errno = 0;
    HOST_CHECK(pvalloc(opaque(SIZE_MAX - 10)) == nullptr && errno == ENOMEM);
    errno = 0;
    HOST_CHECK(malloc(opaque(SIZE_MAX / 2 + 4096)) == nullptr && errno == ENOMEM);
    errno = 0;
    HOST_CHECK(calloc(opaque(SIZE_MAX / 2), opaque(4)) == nullptr && errno == ENOMEM);
    return 0;
}
