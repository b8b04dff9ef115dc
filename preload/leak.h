/* leak.h - what a program can tell libleak.so about itself.
 *
 * Every call is a no-op when libleak.so is not loaded: the functions are weak symbols and the program is not linked
 * with anything. Safe from any thread; not from signal handlers. See libleak(7).
 */
#ifndef LEAK_H
#define LEAK_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#define LEAK_WEAK __attribute__((weak))

LEAK_WEAK void libleak_mark(const char* text);
LEAK_WEAK void libleak_start(void);
LEAK_WEAK void libleak_stop(void);
LEAK_WEAK void libleak_alloc(const void* block, size_t bytes);
LEAK_WEAK void libleak_free(const void* block);

/* Puts a named mark at this moment into the trace, e.g. leak_mark("load stop"). At most 1,000 bytes are kept. */
static inline void leak_mark(const char* text)
{
    if (libleak_mark) libleak_mark(text);
}

/* Records again after leak_stop(). */
static inline void leak_start(void)
{
    if (libleak_start) libleak_start();
}

/* Stops recording in the whole process. Releases made while stopped are not seen: their blocks look unfreed. */
static inline void leak_stop(void)
{
    if (libleak_stop) libleak_stop();
}

/* Reports a block of an allocator of the program's own: the stack of the caller is recorded as for malloc.
 * `block` must not be a live block of malloc or of another leak_alloc(). */
static inline void leak_alloc(const void* block, size_t bytes)
{
    if (libleak_alloc) libleak_alloc(block, bytes);
}

/* Reports that the block given to leak_alloc() is about to be released. */
static inline void leak_free(const void* block)
{
    if (libleak_free) libleak_free(block);
}

#ifdef __cplusplus
}
#endif

#endif
