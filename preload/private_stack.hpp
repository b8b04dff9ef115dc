// Slow work of a hook runs on a stack of our own: the host's may be a few KiB (threads with PTHREAD_STACK_MIN, signal
// handlers on a small sigaltstack, fibers), and unwinding or compression needs more than that.
#pragma once

#include "preload/os.hpp"
#include "preload/own_memory.hpp"

namespace leak::preload {

inline constexpr size_t kPrivateStackBytes = 128 * 1024; // reserved; what is never touched costs nothing

// The stack grows down from top(); a page that faults lies below it.
class PrivateStack {
public:
    [[nodiscard]] bool map() noexcept
    {
        if (base_ != nullptr) return true;
        base_ = static_cast<char*>(map_own(kPrivateStackBytes));
        if (base_ == nullptr) return false;
        os::forbid(base_, kPageBytes);
        return true;
    }
    void unmap() noexcept
    {
        if (base_ != nullptr) unmap_own(base_, kPrivateStackBytes);
        base_ = nullptr;
    }
    [[nodiscard]] void* top() const noexcept { return base_ + kPrivateStackBytes; }

private:
    char* base_ = nullptr;
};

// Calls function(argument) on the stack that ends at `top` (16-byte aligned) and returns to the caller's. The frame has
// unwind information, so a walk passes through it to the host's frames.
extern "C" void leak_call_on_stack(void* top, void (*function)(void*), void* argument);

template <typename Work> void on_private_stack(const PrivateStack& stack, Work& work) noexcept
{
    leak_call_on_stack(stack.top(), [](void* argument) { (*static_cast<Work*>(argument))(); }, &work);
}

} // namespace leak::preload
