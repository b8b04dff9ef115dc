// The stack of the calling thread, by libunwind.
//
// Any thread, any hook, on a private stack. libunwind looks modules up by dl_iterate_phdr, which would take the
// loader's lock; our hook of that function answers it from _dl_find_object instead.
#pragma once

#include <cstdint>
#include <link.h>

namespace leak::preload {

class Unwinder {
public:
    void init() noexcept;

    // Return addresses, innermost (inside this library) first; at most `capacity`. The number of them.
    [[nodiscard]] uint32_t capture(void** frames, uint32_t capacity) const noexcept;

    // Code was unmapped: what libunwind remembers about it must not be used again.
    void forget_code() noexcept;

private:
    // unwinder_imports.cpp
    static void isolate(const link_map& libunwind) noexcept;

    using Callback = int (*)(dl_phdr_info*, size_t, void*);
    // dl_iterate_phdr for libunwind: the one module that it is looking for.
    static int iterate_modules(Callback callback, void* data) noexcept;

    bool code_was_unmapped_ = false;
};

} // namespace leak::preload
