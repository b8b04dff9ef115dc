#include "preload/real.hpp"

#include "preload/tracer.hpp"

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <dlfcn.h>
#include <sys/mman.h>

namespace leak::preload {

constinit RealFunctions g_real{};
constinit std::atomic<bool> g_real_is_resolved{false};

constexpr size_t kAlignment = 16;
alignas(kAlignment) constinit char g_bootstrap_arena[kBootstrapArenaBytes];

namespace {

constinit std::atomic<NewMode> g_new_modes[4]{}; // by NewFamily; plain

// -- the bootstrap arena --

constinit std::atomic<size_t> g_arena_used{0};

// Each block has its size in the 16 bytes before it.
[[nodiscard]] void* arena_allocate(size_t alignment, size_t bytes) noexcept
{
    if (alignment < kAlignment) alignment = kAlignment;
    if (bytes > kBootstrapArenaBytes || alignment > kBootstrapArenaBytes) return nullptr;
    const size_t taken = kAlignment + alignment + (bytes + kAlignment - 1) / kAlignment * kAlignment;
    const size_t at = g_arena_used.fetch_add(taken, std::memory_order_relaxed);
    if (at + taken > kBootstrapArenaBytes) return nullptr;
    const auto first = reinterpret_cast<uintptr_t>(g_bootstrap_arena) + at + kAlignment;
    const uintptr_t block = (first + alignment - 1) / alignment * alignment;
    std::memcpy(reinterpret_cast<void*>(block - sizeof bytes), &bytes, sizeof bytes);
    return reinterpret_cast<void*>(block);
}

void* bootstrap_realloc(void* old, size_t bytes)
{
    void* block = arena_allocate(0, bytes);
    if (block != nullptr && old != nullptr) {
        const size_t had = bootstrap_size(old);
        std::memcpy(block, old, had < bytes ? had : bytes);
    }
    return block;
}

// What hooks forward to while the real functions are being looked up, on the thread that does so.
[[nodiscard]] const RealFunctions& bootstrap_functions() noexcept
{
    static constexpr RealFunctions functions = [] {
        RealFunctions f{};
        f.malloc = [](size_t bytes) { return arena_allocate(0, bytes); };
        f.calloc = [](size_t count, size_t bytes) { return arena_allocate(0, count * bytes); };
        f.realloc = bootstrap_realloc;
        f.free = [](void*) {};
        f.aligned_alloc = f.memalign = [](size_t alignment, size_t bytes) { return arena_allocate(alignment, bytes); };
        f.posix_memalign = [](void** result, size_t alignment, size_t bytes) {
            *result = arena_allocate(alignment, bytes);
            return *result == nullptr ? ENOMEM : 0;
        };
        f.valloc = f.pvalloc = [](size_t bytes) { return arena_allocate(4096, bytes); };
        f.malloc_usable_size = [](void* block) { return bootstrap_size(block); };
        f.mmap = [](void*, size_t, int, int, int, off_t) { return MAP_FAILED; };
        f.munmap = [](void*, size_t) { return -1; };
        // A signal handler in the middle of a look-up.
        f.sigaction = [](int, const struct sigaction*, struct sigaction*) { return -1; };
        f.signal = f.bsd_signal = f.ssignal = f.sysv_signal = f.__sysv_signal =
            f.sigset = [](int, sighandler_t) { return SIG_ERR; };
        f.sigignore = [](int) { return -1; };
        f.siginterrupt = [](int, int) { return -1; };
        return f;
    }();
    return functions;
}

// -- looking up --

[[nodiscard]] bool in_cxx_runtime(const void* function) noexcept
{
    dl_find_object found{};
    if (_dl_find_object(const_cast<void*>(function), &found) != 0) return false;
    const char* name = found.dlfo_link_map->l_name;
    return std::strstr(name, "libstdc++") != nullptr || std::strstr(name, "libc++") != nullptr;
}

[[nodiscard]] bool is_ours(const void* function) noexcept
{
    dl_find_object theirs{};
    dl_find_object ours{};
    return _dl_find_object(const_cast<void*>(function), &theirs) == 0 && _dl_find_object(&g_real, &ours) == 0 &&
           theirs.dlfo_link_map == ours.dlfo_link_map;
}

[[nodiscard]] bool is_runtimes(const char* symbol) noexcept
{
    const void* next = dlsym(RTLD_NEXT, symbol);
    return next == nullptr || in_cxx_runtime(next);
}

// Ends the thread's error of the dl functions by a call that succeeds. dlerror() would have the message translated, and
// for that take a lock of libc's that the host may hold: bindtextdomain() allocates under it.
void forget_dl_error() noexcept
{
    static_cast<void>(dlsym(RTLD_DEFAULT, "malloc"));
}

void find_new_modes() noexcept
{
    // Where the program has its own operator new or delete, other forms lead to them.
    for (const char* name : {"_Znwm", "_ZdlPv"}) {
        const void* global = dlsym(RTLD_DEFAULT, name);
        if (global == nullptr || is_ours(global)) continue;
        for (auto& mode : g_new_modes) mode.store(NewMode::transparent, std::memory_order_relaxed);
        return;
    }
    constexpr const char* symbols[4] = {"_Znwm", "_Znam", "_ZnwmSt11align_val_t", "_ZnamSt11align_val_t"};
    for (int family = 0; family < 4; ++family) {
        NewMode mode = NewMode::forward;
        if (is_runtimes(symbols[family])) {
            // The runtime's array form calls the single one, whoever defines that.
            const bool single_is_plain =
                family % 2 == 0 || g_new_modes[family - 1].load(std::memory_order_relaxed) == NewMode::plain;
            mode = single_is_plain ? NewMode::plain : NewMode::transparent;
        }
        g_new_modes[family].store(mode, std::memory_order_relaxed);
    }
}

} // namespace

const RealFunctions& resolve_real() noexcept
{
    if (t_local.in_tracer != 0) return bootstrap_functions();
    ++t_local.in_tracer;
    const int saved_errno = errno;
#define LEAK_RESOLVE(name, result, parameters) \
    g_real.name = reinterpret_cast<result(*) parameters>(dlsym(RTLD_NEXT, #name));
    LEAK_HOOKED_FUNCTIONS(LEAK_RESOLVE)
#undef LEAK_RESOLVE
    find_new_modes();
    forget_dl_error(); // whatever was not found is not the host's concern
    // Before an allocator runs: some (gperftools) walk stacks by libunwind inside malloc, with its locks held.
    g_tracer.unwinder.init();
    g_real_is_resolved.store(true, std::memory_order_release);
    errno = saved_errno;
    --t_local.in_tracer;
    return g_real;
}

void* find_real(const char* name) noexcept
{
    ++t_local.in_tracer;
    void* found = dlsym(RTLD_NEXT, name);
    for (const char* runtime : {"libstdc++.so.6", "libc++.so.1"}) {
        if (found != nullptr) break;
        if (void* library = dlopen(runtime, RTLD_LAZY | RTLD_NOLOAD)) {
            found = dlsym(library, name);
            // It stays loaded: we were not the first to open it.
            if (auto* const close = real().dlclose; close != nullptr) close(library);
        }
    }
    forget_dl_error();
    --t_local.in_tracer;
    return found;
}

size_t bootstrap_size(const void* block) noexcept
{
    size_t bytes = 0;
    std::memcpy(&bytes, static_cast<const char*>(block) - sizeof bytes, sizeof bytes);
    return bytes;
}

std::span<const char> bootstrap_arena() noexcept
{
    const size_t used = g_arena_used.load(std::memory_order_relaxed);
    return {g_bootstrap_arena, used < kBootstrapArenaBytes ? used : kBootstrapArenaBytes};
}

NewMode new_mode(NewFamily family) noexcept
{
    static_cast<void>(real());
    return g_new_modes[static_cast<size_t>(family)].load(std::memory_order_relaxed);
}

void make_new_transparent(NewFamily family) noexcept
{
    g_new_modes[static_cast<size_t>(family)].store(NewMode::transparent, std::memory_order_relaxed);
}

} // namespace leak::preload
