// mmap and its kin. What libc and the loader map for themselves does not come by here.
// With it set, <sys/mman.h> gives mmap the name mmap64, and both are defined here.
#undef _FILE_OFFSET_BITS

#include "preload/real.hpp"
#include "preload/recorder.hpp"
#include "preload/tracer.hpp"

#include <cstdarg>
#include <sys/mman.h>

using namespace leak::preload;
using leak::format::EventKind;

namespace {

[[nodiscard]] void* map(void* hint, size_t bytes, int protection, int flags, int fd, off_t offset,
                        HookFrame hook) noexcept
{
    void* start = real().mmap(hint, bytes, protection, flags, fd, offset);
    if (start != MAP_FAILED) {
        uint8_t extra = static_cast<uint8_t>(protection & leak::format::kMapProtMask);
        if ((flags & MAP_PRIVATE) == 0) extra |= leak::format::kMapShared;
        if ((flags & MAP_ANONYMOUS) == 0) extra |= leak::format::kMapFile;
        g_tracer.mapping_starts.note(start, bytes);
        record_mapping(EventKind::mmap_, start, bytes, hook, extra);
    }
    return start;
}

} // namespace

LEAK_EXPORT void* mmap(void* hint, size_t bytes, int protection, int flags, int fd, off_t offset) noexcept
{
    return map(hint, bytes, protection, flags, fd, offset, LEAK_HOOK_FRAME);
}

LEAK_EXPORT void* mmap64(void* hint, size_t bytes, int protection, int flags, int fd, off_t offset) noexcept
{
    return map(hint, bytes, protection, flags, fd, offset, LEAK_HOOK_FRAME);
}

LEAK_EXPORT int munmap(void* start, size_t bytes) noexcept
{
    g_tracer.mapping_starts.note(start, bytes);
    record_unmapping(EventKind::munmap_, start, bytes);
    const int result = real().munmap(start, bytes);
    if (result != 0) record_undo(EventKind::unmap_undo, start);
    return result;
}

LEAK_EXPORT void* mremap(void* old, size_t old_bytes, size_t bytes, int flags, ...) noexcept
{
    va_list arguments;
    va_start(arguments, flags);
    void* target = (flags & MREMAP_FIXED) != 0 ? va_arg(arguments, void*) : nullptr;
    va_end(arguments);
    g_tracer.mapping_starts.note(old, old_bytes);
    record_unmapping(EventKind::mremap_release, old, old_bytes);
    void* start = real().mremap(old, old_bytes, bytes, flags, target);
    if (start != MAP_FAILED) {
        g_tracer.mapping_starts.note(start, bytes);
        record_mapping(EventKind::mremap_, start, bytes, LEAK_HOOK_FRAME, 0);
    } else {
        record_undo(EventKind::unmap_undo, old);
    }
    return start;
}
