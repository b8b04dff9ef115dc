// What the hosts share. A host is a tiny program that shows one behaviour; it keeps its own truth and prints it, and
// never uses more of the C or C++ library than it wants to show, because those allocate too.
#pragma once

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

// A function that shall appear in a stack under its own name.
#if defined(__clang__)
#define HOST_FRAME __attribute__((noinline, used))
#else
#define HOST_FRAME __attribute__((noipa, used))
#endif

// The compiler must take the block as used: it removes allocations nobody looks at.
inline void* keep(void* block)
{
    asm volatile("" : "+r"(block) : : "memory");
    return block;
}

// A size the compiler can't see through, so that it neither warns about nor folds a deliberate misuse.
inline size_t opaque(size_t bytes)
{
    asm volatile("" : "+r"(bytes));
    return bytes;
}

// Overwrites what earlier calls have left below the caller's frame: stale copies of pointers would be taken for
// pointers.
inline constexpr size_t kScrubbedBytes = 64 << 10;
HOST_FRAME inline void scrub_stack()
{
    char below[kScrubbedBytes];
    memset(below, 0, sizeof below);
    keep(below);
}

// A pointer that no scan of memory takes for one.
inline constexpr uintptr_t kHidingMask = 0x5a5a'5a5a'5a5a'5a5a;
inline uintptr_t hide(const void* block)
{
    return reinterpret_cast<uintptr_t>(block) ^ kHidingMask;
}
inline void* reveal(uintptr_t hidden)
{
    return reinterpret_cast<void*>(hidden ^ kHidingMask);
}

// Prints without allocating: stdio takes a buffer from malloc.
inline void say(const char* format, ...) __attribute__((format(printf, 1, 2)));
inline void say(const char* format, ...)
{
    char line[1024];
    __builtin_va_list args;
    __builtin_va_start(args, format);
    const int length = vsnprintf(line, sizeof line, format, args);
    __builtin_va_end(args);
    if (length > 0 && write(STDOUT_FILENO, line, static_cast<size_t>(length)) < 0) _exit(99);
}

// Ends the host with a line that says which promise was broken.
#define HOST_CHECK(condition)                                                             \
    do {                                                                                  \
        if (!(condition)) {                                                               \
            say("%s:%d: not so: %s (errno %d)\n", __FILE__, __LINE__, #condition, errno); \
            _exit(98);                                                                    \
        }                                                                                 \
    } while (false)

// Ends the host; where HOST_END says so only after a core was dumped of it, or by a crash.
[[noreturn]] inline void end_host()
{
    const char* how = getenv("HOST_END");
    if (how != nullptr && strcmp(how, "wait") == 0) {
        say("ready\n");
        char byte;
        while (read(STDIN_FILENO, &byte, 1) > 0) {}
    }
    if (how != nullptr && strcmp(how, "abort") == 0) abort();
    if (how != nullptr && strcmp(how, "fault") == 0) *static_cast<volatile char*>(nullptr) = 0;
    exit(0); // not return: the stack of main is in use
}

// Counters that survive the host: a mapped file, one counter a thread, each on its own cache line.
struct alignas(64) SharedCounter {
    uint64_t completed;
};
inline constexpr size_t kSharedCounters = 64;

inline SharedCounter* map_counters(const char* path)
{
    const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    HOST_CHECK(fd >= 0);
    HOST_CHECK(ftruncate(fd, sizeof(SharedCounter) * kSharedCounters) == 0);
    void* map = mmap(nullptr, sizeof(SharedCounter) * kSharedCounters, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    HOST_CHECK(map != MAP_FAILED);
    close(fd);
    return static_cast<SharedCounter*>(map);
}

inline void count(SharedCounter& counter)
{
    __atomic_store_n(&counter.completed, counter.completed + 1, __ATOMIC_RELEASE);
}
