/* leak.h - what a program can tell libleak.so about itself.
 *
 * Every call is a no-op when libleak.so is not loaded: the functions are found when the program is loaded, and it is
 * not linked with anything. Safe from any thread; not from signal handlers. See libleak(7).
 */
#ifndef LEAK_H
#define LEAK_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__PIC__) || defined(__PIE__)
/* Weak: a null pointer where no library defines it. */
#define LEAK_DECLARE(name, ...) __attribute__((weak)) void name(__VA_ARGS__);
#define LEAK_CALL(name, type, ...)   \
    do {                             \
        if (name) name(__VA_ARGS__); \
    } while (0)
#else
/* In position-dependent code (-no-pie) the linker makes an undefined weak symbol null for good; so look it up. */
#include <dlfcn.h>
#define LEAK_DECLARE(name, ...)
#define LEAK_CALL(name, type, ...)                               \
    do {                                                         \
        void* leak_found = dlsym(0 /* RTLD_DEFAULT */, #name);   \
        if (leak_found) ((void(*) type)leak_found)(__VA_ARGS__); \
    } while (0)
#endif

LEAK_DECLARE(libleak_mark, const char* text)
LEAK_DECLARE(libleak_start, void)
LEAK_DECLARE(libleak_stop, void)
LEAK_DECLARE(libleak_alloc, const void* block, size_t bytes)
LEAK_DECLARE(libleak_free, const void* block)
LEAK_DECLARE(libleak_root, const void* address, size_t bytes)
LEAK_DECLARE(libleak_unroot, const void* address)

/* Puts a named mark at this moment into the trace, e.g. leak_mark("load stop"). At most 1,000 bytes are kept. */
static inline void leak_mark(const char* text)
{
    LEAK_CALL(libleak_mark, (const char*), text);
}

/* Records again after leak_stop(). */
static inline void leak_start(void)
{
    LEAK_CALL(libleak_start, (void), );
}

/* Stops recording in the whole process. Releases made while stopped are not seen: their blocks look unfreed. */
static inline void leak_stop(void)
{
    LEAK_CALL(libleak_stop, (void), );
}

/* Reports a block of an allocator of the program's own: the stack of the caller is recorded as for malloc.
 * `block` must not be a live block of malloc or of another leak_alloc(). */
static inline void leak_alloc(const void* block, size_t bytes)
{
    LEAK_CALL(libleak_alloc, (const void*, size_t), block, bytes);
}

/* Reports that the block given to leak_alloc() is about to be released. */
static inline void leak_free(const void* block)
{
    LEAK_CALL(libleak_free, (const void*), block);
}

/* Says that pointers lie in this memory, which is not the program's own heap or data: in memory that is shared with
 * other processes, or mapped from a file. What they point to can be reached. At most 1,024 stretches. */
static inline void leak_root(const void* address, size_t bytes)
{
    LEAK_CALL(libleak_root, (const void*, size_t), address, bytes);
}

/* The opposite, for an address that leak_root() was given. */
static inline void leak_unroot(const void* address)
{
    LEAK_CALL(libleak_unroot, (const void*), address);
}

#ifdef __cplusplus
}
#endif

#endif
