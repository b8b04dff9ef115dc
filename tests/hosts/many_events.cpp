// many_events COUNTERS ROUNDS [wait]: ROUNDS times an allocation and its release, and one leak of 24 bytes in 100 of
// them; counts the completed calls in shared memory: [0] allocations, [1] releases, [2] leaks. "wait": then prints
// "ready" and waits for the end of its input. "write": then writes 4 KiB blocks to the file "own" until that fails.
#include "host.hpp"

namespace {

HOST_FRAME void* made_and_released(size_t round)
{
    return keep(malloc(32 + round % 64));
}
HOST_FRAME void* leaked_now_and_then()
{
    return keep(malloc(24));
}

} // namespace

int main(int argc, char** argv)
{
    HOST_CHECK(argc >= 3);
    SharedCounter* counters = map_counters(argv[1]);
    const size_t rounds = strtoul(argv[2], nullptr, 10);
    for (size_t round = 0; round < rounds; ++round) {
        void* block = made_and_released(round);
        count(counters[0]);
        free(block);
        count(counters[1]);
        if (round % 100 == 0) {
            leaked_now_and_then();
            count(counters[0]);
            count(counters[2]);
        }
    }
    if (argc > 3 && strcmp(argv[3], "wait") == 0) {
        say("ready\n");
        char byte;
        while (read(STDIN_FILENO, &byte, 1) > 0) continue;
    }
    say("%zu rounds\n", rounds);
    return 0;
}
