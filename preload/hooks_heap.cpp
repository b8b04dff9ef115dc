// malloc and its kin. A release is recorded before the real call, an allocation after it; a realloc is both, taken back
// when it fails.
#include "preload/real.hpp"
#include "preload/recorder.hpp"

#include <bit>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <malloc.h>

using namespace leak::preload;
using leak::format::EventKind;

namespace {

[[nodiscard]] uint8_t log2_of(size_t alignment) noexcept
{
    return std::has_single_bit(alignment) ? static_cast<uint8_t>(std::countr_zero(alignment)) : uint8_t{0};
}

[[gnu::always_inline]] inline void* recorded(EventKind kind, void* block, size_t bytes, HookFrame hook,
                                             size_t alignment = 0) noexcept
{
    return block == nullptr ? nullptr : record_allocation(kind, block, bytes, hook, log2_of(alignment));
}

// A block of the bootstrap arena that the host wants to resize moves to the real heap.
[[nodiscard]] void* leave_bootstrap(void* old, size_t bytes) noexcept
{
    void* block = real().malloc(bytes);
    const size_t had = bootstrap_size(old);
    if (block != nullptr) std::memcpy(block, old, had < bytes ? had : bytes);
    return block;
}

void* reallocate(EventKind kind, void* old, size_t bytes, HookFrame hook) noexcept
{
    if (old == nullptr) return recorded(kind, real().realloc(nullptr, bytes), bytes, hook);
    if (bootstrap_owns(old)) return recorded(kind, leave_bootstrap(old, bytes), bytes, hook);
    // Before the call: once it has moved the block, another thread may be given the old address.
    const bool is_recorded = record_release(EventKind::realloc_release, old);
    void* block = real().realloc(old, bytes);
    if (block != nullptr) return record_allocation(kind, block, bytes, hook);
    if (bytes != 0 && is_recorded) record_undo(EventKind::realloc_undo, old);
    return nullptr; // for 0 bytes: freed
}

void release(EventKind kind, void* block) noexcept
{
    if (block == nullptr || bootstrap_owns(block)) return;
    if (t_local.releasing != hidden(block))
        record_release(kind, block); // else the operator delete that calls us has done so
    real().free(block);
}

} // namespace

LEAK_EXPORT void* malloc(size_t bytes) noexcept
{
    void* const block = real().malloc(bytes); // before the frame is looked at, which would take registers
    return recorded(EventKind::malloc_, block, bytes, LEAK_HOOK_FRAME);
}

LEAK_EXPORT void* calloc(size_t count, size_t bytes) noexcept
{
    void* const block = real().calloc(count, bytes);
    return recorded(EventKind::calloc_, block, count * bytes, LEAK_HOOK_FRAME);
}

LEAK_EXPORT void* realloc(void* old, size_t bytes) noexcept
{
    return reallocate(EventKind::realloc_, old, bytes, LEAK_HOOK_FRAME);
}

// glibc's own calls realloc, so forwarding would record it twice.
LEAK_EXPORT void* reallocarray(void* old, size_t count, size_t bytes) noexcept
{
    size_t all = 0;
    if (__builtin_mul_overflow(count, bytes, &all)) {
        errno = ENOMEM;
        return nullptr;
    }
    return reallocate(EventKind::reallocarray_, old, all, LEAK_HOOK_FRAME);
}

LEAK_EXPORT void free(void* block) noexcept
{
    release(EventKind::free_, block);
}

LEAK_EXPORT void free_sized(void* block, size_t) noexcept
{
    release(EventKind::free_sized_, block);
}

LEAK_EXPORT void free_aligned_sized(void* block, size_t, size_t) noexcept
{
    release(EventKind::free_aligned_sized_, block);
}

LEAK_EXPORT int posix_memalign(void** result, size_t alignment, size_t bytes) noexcept
{
    const int error = real().posix_memalign(result, alignment, bytes);
    if (error == 0) recorded(EventKind::posix_memalign_, *result, bytes, LEAK_HOOK_FRAME, alignment);
    return error;
}

LEAK_EXPORT void* aligned_alloc(size_t alignment, size_t bytes) noexcept
{
    return recorded(EventKind::aligned_alloc_, real().aligned_alloc(alignment, bytes), bytes, LEAK_HOOK_FRAME,
                    alignment);
}

LEAK_EXPORT void* memalign(size_t alignment, size_t bytes) noexcept
{
    return recorded(EventKind::memalign_, real().memalign(alignment, bytes), bytes, LEAK_HOOK_FRAME, alignment);
}

LEAK_EXPORT void* valloc(size_t bytes) noexcept
{
    return recorded(EventKind::valloc_, real().valloc(bytes), bytes, LEAK_HOOK_FRAME, 4096);
}

LEAK_EXPORT void* pvalloc(size_t bytes) noexcept
{
    return recorded(EventKind::pvalloc_, real().pvalloc(bytes), bytes, LEAK_HOOK_FRAME, 4096);
}

LEAK_EXPORT size_t malloc_usable_size(void* block) noexcept
{
    return bootstrap_owns(block) ? bootstrap_size(block) : real().malloc_usable_size(block);
}
