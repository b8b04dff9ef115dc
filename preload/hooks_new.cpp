// operator new and delete, all forms. Where the C++ runtime's are in use they are malloc and free with another name,
// and are called as such; an allocator's own are forwarded to. See NewMode.
//
// Compiled without exceptions: what the real operator new throws passes through these frames, which hold nothing.
#include "preload/real.hpp"
#include "preload/recorder.hpp"

#include <atomic>
#include <bit>
#include <cstdint>
#include <cstdlib>
#include <new>

using namespace leak::preload;
using leak::format::EventKind;

namespace {

#define LEAK_NEW __attribute__((visibility("default")))

// One form of operator new or delete and its real function, looked up when first needed.
template <typename Function> class Form {
public:
    constexpr explicit Form(const char* symbol) noexcept : symbol_(symbol) {}
    [[nodiscard]] Function* get() noexcept
    {
        void* found = real_.load(std::memory_order_acquire);
        if (found == nullptr) real_.store(found = find_real(symbol_), std::memory_order_release);
        if (found == nullptr) abort(); // a C++ program without a C++ runtime can't have got here
        return reinterpret_cast<Function*>(found);
    }

private:
    const char* symbol_;
    std::atomic<void*> real_{nullptr};
};

using New = void*(size_t);
using NewAligned = void*(size_t, std::align_val_t);
using NewNothrow = void*(size_t, const std::nothrow_t&);
using NewAlignedNothrow = void*(size_t, std::align_val_t, const std::nothrow_t&);
using Delete = void(void*);
using DeleteAligned = void(void*, std::align_val_t);

constinit Form<New> g_new("_Znwm");
constinit Form<New> g_new_array("_Znam");
constinit Form<NewNothrow> g_new_nothrow("_ZnwmRKSt9nothrow_t");
constinit Form<NewNothrow> g_new_array_nothrow("_ZnamRKSt9nothrow_t");
constinit Form<NewAligned> g_new_aligned("_ZnwmSt11align_val_t");
constinit Form<NewAligned> g_new_array_aligned("_ZnamSt11align_val_t");
constinit Form<NewAlignedNothrow> g_new_aligned_nothrow("_ZnwmSt11align_val_tRKSt9nothrow_t");
constinit Form<NewAlignedNothrow> g_new_array_aligned_nothrow("_ZnamSt11align_val_tRKSt9nothrow_t");
constinit Form<Delete> g_delete("_ZdlPv");
constinit Form<Delete> g_delete_array("_ZdaPv");
constinit Form<DeleteAligned> g_delete_aligned("_ZdlPvSt11align_val_t");
constinit Form<DeleteAligned> g_delete_array_aligned("_ZdaPvSt11align_val_t");
constinit Form<std::new_handler()> g_get_new_handler("_ZSt15get_new_handlerv");

[[nodiscard]] uint8_t log2_of(std::align_val_t alignment) noexcept
{
    const auto value = static_cast<size_t>(alignment);
    return std::has_single_bit(value) ? static_cast<uint8_t>(std::countr_zero(value)) : uint8_t{0};
}

// The attempt that operator new repeats: [new.delete.single]/4. alignment 0: malloc's own.
[[nodiscard]] void* try_plain(size_t bytes, size_t alignment) noexcept
{
    if (bytes == 0) bytes = 1;
    if (alignment == 0) return real().malloc(bytes);
    if (alignment < sizeof(void*)) alignment = sizeof(void*);
    return real().aligned_alloc(alignment, (bytes + alignment - 1) & ~(alignment - 1));
}

// Out of memory: calls the program's new-handler until there is some, or nullptr when it has none.
[[nodiscard, gnu::noinline]] void* try_with_handler(size_t bytes, size_t alignment)
{
    for (;;) {
        const std::new_handler handler = g_get_new_handler.get()();
        if (handler == nullptr) return nullptr;
        handler();
        if (void* block = try_plain(bytes, alignment)) return block;
    }
}

[[nodiscard]] constexpr NewFamily family_of(EventKind kind) noexcept
{
    switch (kind) {
    case EventKind::new_array:
    case EventKind::delete_array:
        return NewFamily::array;
    case EventKind::new_aligned:
    case EventKind::delete_aligned:
        return NewFamily::aligned;
    case EventKind::new_array_aligned:
    case EventKind::delete_array_aligned:
        return NewFamily::aligned_array;
    default:
        return NewFamily::single;
    }
}

// forward: calls the real function; it throws, or gives nullptr, as its form does.
template <typename Forward> [[gnu::always_inline]] inline void*
allocate(EventKind kind, size_t bytes, std::align_val_t alignment, HookFrame hook, Forward forward)
{
    const NewMode mode = new_mode(family_of(kind));
    if (mode == NewMode::plain) {
        void* block = try_plain(bytes, static_cast<size_t>(alignment));
        if (block == nullptr) [[unlikely]]
            block = try_with_handler(bytes, static_cast<size_t>(alignment));
        if (block == nullptr) return forward(); // fails once more, in the way of its form
        return record_allocation(kind, block, bytes, hook, log2_of(alignment));
    }
    if (mode == NewMode::transparent) return forward();
    t_local.recorded = 0;
    void* block = forward();
    if (block == nullptr) return nullptr;
    if (t_local.recorded != hidden(block)) return record_allocation(kind, block, bytes, hook, log2_of(alignment));
    if (t_local.recorded_kind != kind) // it called malloc, which has recorded the block
        make_new_transparent(family_of(kind));
    return block;
}

template <typename Forward>
[[gnu::always_inline]] inline void release(EventKind kind, void* block, Forward forward) noexcept
{
    if (block == nullptr || bootstrap_owns(block)) return;
    const NewMode mode = new_mode(family_of(kind));
    if (mode == NewMode::transparent || t_local.releasing == hidden(block)) return forward();
    record_release(kind, block);
    if (mode == NewMode::plain) return real().free(block);
    t_local.releasing = hidden(block);
    forward();
    t_local.releasing = 0;
}

constexpr std::align_val_t kDefault{0};

} // namespace

LEAK_NEW void* operator new(size_t bytes)
{
    return allocate(EventKind::new_, bytes, kDefault, LEAK_HOOK_FRAME, [&] { return g_new.get()(bytes); });
}
LEAK_NEW void* operator new[](size_t bytes)
{
    return allocate(EventKind::new_array, bytes, kDefault, LEAK_HOOK_FRAME, [&] { return g_new_array.get()(bytes); });
}
LEAK_NEW void* operator new(size_t bytes, const std::nothrow_t& tag) noexcept
{
    return allocate(EventKind::new_, bytes, kDefault, LEAK_HOOK_FRAME, [&] { return g_new_nothrow.get()(bytes, tag); });
}
LEAK_NEW void* operator new[](size_t bytes, const std::nothrow_t& tag) noexcept
{
    return allocate(EventKind::new_array, bytes, kDefault, LEAK_HOOK_FRAME,
                    [&] { return g_new_array_nothrow.get()(bytes, tag); });
}
LEAK_NEW void* operator new(size_t bytes, std::align_val_t alignment)
{
    return allocate(EventKind::new_aligned, bytes, alignment, LEAK_HOOK_FRAME,
                    [&] { return g_new_aligned.get()(bytes, alignment); });
}
LEAK_NEW void* operator new[](size_t bytes, std::align_val_t alignment)
{
    return allocate(EventKind::new_array_aligned, bytes, alignment, LEAK_HOOK_FRAME,
                    [&] { return g_new_array_aligned.get()(bytes, alignment); });
}
LEAK_NEW void* operator new(size_t bytes, std::align_val_t alignment, const std::nothrow_t& tag) noexcept
{
    return allocate(EventKind::new_aligned, bytes, alignment, LEAK_HOOK_FRAME,
                    [&] { return g_new_aligned_nothrow.get()(bytes, alignment, tag); });
}
LEAK_NEW void* operator new[](size_t bytes, std::align_val_t alignment, const std::nothrow_t& tag) noexcept
{
    return allocate(EventKind::new_array_aligned, bytes, alignment, LEAK_HOOK_FRAME,
                    [&] { return g_new_array_aligned_nothrow.get()(bytes, alignment, tag); });
}

// The forms with a size or a nothrow tag are the plain ones to every known implementation: [new.delete.single]/15.
#define LEAK_DELETE(kind, form) release(kind, block, [&] { form.get()(block); })
#define LEAK_DELETE_ALIGNED(kind, form) release(kind, block, [&] { form.get()(block, alignment); })

LEAK_NEW void operator delete(void* block) noexcept
{
    LEAK_DELETE(EventKind::delete_, g_delete);
}
LEAK_NEW void operator delete[](void* block) noexcept
{
    LEAK_DELETE(EventKind::delete_array, g_delete_array);
}
LEAK_NEW void operator delete(void* block, size_t) noexcept
{
    LEAK_DELETE(EventKind::delete_, g_delete);
}
LEAK_NEW void operator delete[](void* block, size_t) noexcept
{
    LEAK_DELETE(EventKind::delete_array, g_delete_array);
}
LEAK_NEW void operator delete(void* block, const std::nothrow_t&) noexcept
{
    LEAK_DELETE(EventKind::delete_, g_delete);
}
LEAK_NEW void operator delete[](void* block, const std::nothrow_t&) noexcept
{
    LEAK_DELETE(EventKind::delete_array, g_delete_array);
}
LEAK_NEW void operator delete(void* block, std::align_val_t alignment) noexcept
{
    LEAK_DELETE_ALIGNED(EventKind::delete_aligned, g_delete_aligned);
}
LEAK_NEW void operator delete[](void* block, std::align_val_t alignment) noexcept
{
    LEAK_DELETE_ALIGNED(EventKind::delete_array_aligned, g_delete_array_aligned);
}
LEAK_NEW void operator delete(void* block, size_t, std::align_val_t alignment) noexcept
{
    LEAK_DELETE_ALIGNED(EventKind::delete_aligned, g_delete_aligned);
}
LEAK_NEW void operator delete[](void* block, size_t, std::align_val_t alignment) noexcept
{
    LEAK_DELETE_ALIGNED(EventKind::delete_array_aligned, g_delete_array_aligned);
}
LEAK_NEW void operator delete(void* block, std::align_val_t alignment, const std::nothrow_t&) noexcept
{
    LEAK_DELETE_ALIGNED(EventKind::delete_aligned, g_delete_aligned);
}
LEAK_NEW void operator delete[](void* block, std::align_val_t alignment, const std::nothrow_t&) noexcept
{
    LEAK_DELETE_ALIGNED(EventKind::delete_array_aligned, g_delete_array_aligned);
}
