// Which function may release what another one allocated (C23 7.24.3, C++ [new.delete]).
//
// Pure functions, any thread.
#pragma once

#include "format/event.hpp"

namespace leak::format {

[[nodiscard]] constexpr bool is_aligned_c_allocation(EventKind kind)
{
    return kind >= EventKind::posix_memalign_ && kind <= EventKind::pvalloc_;
}

// Whether a block of `allocated` is released as it must be by `released`; both are kinds of heap events.
[[nodiscard]] constexpr bool same_family(EventKind allocated, EventKind released)
{
    using enum EventKind;
    switch (allocated) {
    case new_:
        return released == delete_;
    case new_array:
        return released == delete_array;
    case new_aligned:
        return released == delete_aligned;
    case new_array_aligned:
        return released == delete_array_aligned;
    case custom_alloc:
        return released == custom_free;
    default:
        break;
    }
    if (released == free_aligned_sized_) return is_aligned_c_allocation(allocated);
    return released == free_ || released == free_sized_ || released == realloc_release;
}

} // namespace leak::format
