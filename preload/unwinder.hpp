// The stack of the calling thread, by libunwind.
//
// Any thread, any hook, on a private stack. libunwind looks modules up by dl_iterate_phdr, which would take the
// loader's lock; our hook of that function answers it from _dl_find_object instead.
#pragma once

#include "preload/lock.hpp"

#include <atomic>
#include <cstdint>
#include <link.h>

namespace leak::preload {

class Unwinder {
public:
    // Before libunwind is used by anybody in the process.
    void init() noexcept;
    // What libunwind sets up once, which is a third of what a short process costs: at its first use, or before.
    void make_ready() noexcept;

    // Return addresses, innermost (inside this library) first; at most `capacity`. The number of them.
    [[nodiscard]] uint32_t capture(void** frames, uint32_t capacity) noexcept;

    // Code was unmapped: what libunwind remembers about it must not be used again.
    void forget_code() noexcept;

    // In a forked child.
    void unlock() noexcept { ready_lock_.reset(); }

private:
    // unwinder_imports.cpp
    static void isolate(const link_map& libunwind) noexcept;

    using Callback = int (*)(dl_phdr_info*, size_t, void*);
    // dl_iterate_phdr for libunwind: the one module that it is looking for.
    static int iterate_modules(Callback callback, void* data) noexcept;

    std::atomic<bool> is_ready_{false};
    Lock ready_lock_;
    bool code_was_unmapped_ = false;
};

} // namespace leak::preload
