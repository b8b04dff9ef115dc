// The functions that we interpose, as the next library defines them.
//
// The one table of hooks of C functions; operator new and delete are in hooks_new.cpp. Resolved by dlsym at the first
// call of any hook; what dlsym itself allocates meanwhile comes from the bootstrap arena.
#pragma once

#include "preload/thread_local.hpp"

#include <atomic>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <link.h>
#include <pthread.h>
#include <span>
#include <sys/types.h>

namespace leak::preload {

// X(name, return type, parameters)
#define LEAK_HOOKED_FUNCTIONS(X)                                                         \
    X(malloc, void*, (size_t))                                                           \
    X(calloc, void*, (size_t, size_t))                                                   \
    X(realloc, void*, (void*, size_t))                                                   \
    X(free, void, (void*))                                                               \
    X(posix_memalign, int, (void**, size_t, size_t))                                     \
    X(aligned_alloc, void*, (size_t, size_t))                                            \
    X(memalign, void*, (size_t, size_t))                                                 \
    X(valloc, void*, (size_t))                                                           \
    X(pvalloc, void*, (size_t))                                                          \
    X(malloc_usable_size, size_t, (void*))                                               \
    X(mmap, void*, (void*, size_t, int, int, int, off_t))                                \
    X(munmap, int, (void*, size_t))                                                      \
    X(mremap, void*, (void*, size_t, size_t, int, ...))                                  \
    X(dlclose, int, (void*))                                                             \
    X(pthread_create, int, (pthread_t*, const pthread_attr_t*, void* (*)(void*), void*)) \
    X(execve, int, (const char*, char* const*, char* const*))                            \
    X(execv, int, (const char*, char* const*))                                           \
    X(execvp, int, (const char*, char* const*))                                          \
    X(execvpe, int, (const char*, char* const*, char* const*))                           \
    X(fexecve, int, (int, char* const*, char* const*))                                   \
    X(execveat, int, (int, const char*, char* const*, char* const*, int))                \
    X(_exit, void, (int))                                                                \
    X(sigaction, int, (int, const struct sigaction*, struct sigaction*))                 \
    X(signal, sighandler_t, (int, sighandler_t))                                         \
    X(bsd_signal, sighandler_t, (int, sighandler_t))                                     \
    X(ssignal, sighandler_t, (int, sighandler_t))                                        \
    X(sysv_signal, sighandler_t, (int, sighandler_t))                                    \
    X(__sysv_signal, sighandler_t, (int, sighandler_t))                                  \
    X(sigset, sighandler_t, (int, sighandler_t))                                         \
    X(sigignore, int, (int))                                                             \
    X(siginterrupt, int, (int, int))

struct RealFunctions {
#define LEAK_MEMBER(name, result, parameters) result(*name) parameters;
    LEAK_HOOKED_FUNCTIONS(LEAK_MEMBER)
#undef LEAK_MEMBER
};

extern constinit RealFunctions g_real;
extern constinit std::atomic<bool> g_real_is_resolved;

// The slow twin of real(): resolves, or while that is going on gives functions that work without libc.
[[nodiscard]] const RealFunctions& resolve_real() noexcept;

[[nodiscard]] inline const RealFunctions& real() noexcept
{
    if (g_real_is_resolved.load(std::memory_order_acquire)) [[likely]]
        return g_real;
    return resolve_real();
}

// A function that need not be there; nullptr then. Looks in the libraries behind us, then in a C++ runtime that was
// loaded privately (a C program that opens a C++ plugin). Leaves no dlerror() behind.
[[nodiscard]] void* find_real(const char* name) noexcept;

// Blocks that were given out while dlsym was looking for the real functions; they are never given back.
inline constexpr size_t kBootstrapArenaBytes = 64 * 1024;
extern constinit char g_bootstrap_arena[kBootstrapArenaBytes];
[[nodiscard]] inline bool bootstrap_owns(const void* block) noexcept
{
    return reinterpret_cast<uintptr_t>(block) - reinterpret_cast<uintptr_t>(g_bootstrap_arena) < kBootstrapArenaBytes;
}
[[nodiscard]] size_t bootstrap_size(const void* block) noexcept;
// The part of the arena that is in use.
[[nodiscard]] std::span<const char> bootstrap_arena() noexcept;

// What operator new and delete are in this process, form by form: an allocator may define some and leave others.
enum class NewMode : unsigned char {
    plain,       // the C++ runtime's, which are malloc and free: called as such
    forward,     // an allocator's own
    transparent, // the program's own, or built on other hooked functions: what they call is recorded
};
enum class NewFamily : unsigned char { single, array, aligned, aligned_array };
[[nodiscard]] NewMode new_mode(NewFamily family) noexcept;
void make_new_transparent(NewFamily family) noexcept;

#define LEAK_EXPORT extern "C" __attribute__((visibility("default")))

} // namespace leak::preload
