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

    // Whether `address` is in libunwind's code: such calls are not the host's.
    [[nodiscard]] bool owns(const void* address) const noexcept
    {
        const auto at = reinterpret_cast<uint64_t>(address);
        return at >= start_ && at < end_;
    }

    using Callback = int (*)(dl_phdr_info*, size_t, void*);
    // dl_iterate_phdr for libunwind: the one module that it is looking for.
    static int iterate_modules(Callback callback, void* data) noexcept;

private:
    uint64_t start_ = 0;
    uint64_t end_ = 0;
    bool code_was_unmapped_ = false;
};

} // namespace leak::preload
