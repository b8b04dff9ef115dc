/* pool: a program with an allocator of its own tells libleak.so what it gives out and takes back, and when a new phase
 * of its work begins. Runs just the same without libleak.so; nothing is linked. */
#include "preload/leak.h"

#include <stdio.h>
#include <stdlib.h>

enum { CELL_BYTES = 256, CELLS = 64 };

struct pool {
    unsigned char memory[CELLS][CELL_BYTES];
    int next_free[CELLS];
    int first_free;
};

static void pool_init(struct pool* pool)
{
    for (int i = 0; i < CELLS; ++i) pool->next_free[i] = i + 1 < CELLS ? i + 1 : -1;
    pool->first_free = 0;
}

static void* pool_take(struct pool* pool, size_t bytes)
{
    const int cell = pool->first_free;
    if (cell < 0 || bytes > CELL_BYTES) return NULL;
    pool->first_free = pool->next_free[cell];
    leak_alloc(pool->memory[cell], bytes); /* after it was taken */
    return pool->memory[cell];
}

static void pool_give_back(struct pool* pool, void* block)
{
    const long cell = ((unsigned char*)block - pool->memory[0]) / CELL_BYTES;
    leak_free(block); /* before another thread could take it */
    pool->next_free[cell] = pool->first_free;
    pool->first_free = (int)cell;
}

int main(void)
{
    struct pool* pool = malloc(sizeof *pool);
    if (!pool) return 1;
    pool_init(pool);
    leak_mark("first phase");
    for (int i = 0; i < 40; ++i) {
        void* block = pool_take(pool, 100);
        if (block && i % 10 != 0) pool_give_back(pool, block); /* every tenth is forgotten */
    }
    leak_mark("second phase");
    leak_stop(); /* what follows is of no interest */
    free(malloc(1000000));
    leak_start();
    puts("pool: 40 cells taken, 36 given back");
    free(pool);
    return 0;
}
