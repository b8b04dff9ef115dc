/* The public API in C: marks, custom blocks, a stretch that is not recorded. Runs the same without libleak.so. */
#include "leak.h"

#include <stdio.h>
#include <stdlib.h>

static char pool[4096];
static void* volatile sink;

__attribute__((noinline)) static void* pool_take(size_t at, size_t bytes)
{
    leak_alloc(pool + at, bytes);
    __asm__ volatile(""); // no tail call, which would leave this function out of the stack
    return pool + at;
}

__attribute__((noinline)) static void not_recorded(void)
{
    sink = malloc(400);
}
__attribute__((noinline)) static void recorded_again(void)
{
    sink = malloc(500);
}

int main(void)
{
    leak_mark("before");
    pool_take(0, 100);
    pool_take(128, 200);
    leak_free(pool + 128);
    leak_free(NULL);
    leak_stop();
    not_recorded();
    leak_start();
    recorded_again();
    leak_mark("after");
    puts("done");
    return 0;
}
