// sampled: blocks of three sizes from three places, of which a known part stays; reallocs, and one that fails; blocks
// of the parent that a child releases; blocks of leak_alloc(), which is never sampled.
#include "host.hpp"

#include "leak.h"

#include <sys/wait.h>

namespace {

constexpr size_t kSmall = 200'000; // of 24 bytes
constexpr size_t kMiddle = 20'000; // of 3000 bytes
constexpr size_t kLarge = 64;      // of 500,000 bytes

HOST_FRAME void* small_block()
{
    return keep(malloc(24));
}
HOST_FRAME void* middle_block()
{
    return keep(malloc(3000));
}
HOST_FRAME void* large_block()
{
    return keep(malloc(500'000));
}
HOST_FRAME void* moved_block(void* block)
{
    return keep(realloc(block, 6000));
}

void* g_small[kSmall];
void* g_middle[kMiddle];
char g_pool[16];

} // namespace

int main()
{
    for (auto& block : g_small) block = small_block();
    for (auto& block : g_middle) block = middle_block();
    for (size_t i = 0; i < kLarge; ++i) keep(large_block());
    // Half of the small ones go, all middle ones move, and a quarter of those go.
    for (size_t i = 0; i < kSmall; i += 2) free(g_small[i]);
    for (auto& block : g_middle) block = moved_block(block);
    for (size_t i = 0; i < kMiddle; i += 4) free(g_middle[i]);
    for (size_t i = 1; i < kMiddle; i += 400) HOST_CHECK(realloc(g_middle[i], size_t{1} << 60) == nullptr);
    leak_alloc(g_pool, 16);
    const pid_t child = fork();
    if (child == 0) {
        for (size_t i = 1; i < kSmall; i += 2) free(g_small[i]);
        _exit(0);
    }
    int status = 0;
    HOST_CHECK(waitpid(child, &status, 0) == child && status == 0);
    return 0;
}
