// Threads whose thread-local destructors release and allocate: C++ thread_local, pthread keys, and a key whose
// destructor sets its value again until the C library gives up (PTHREAD_DESTRUCTOR_ITERATIONS rounds).
#include "host.hpp"

#include <limits.h>
#include <pthread.h>
#include <thread>

namespace {

constexpr int kThreads = 20;
pthread_key_t once_key;
pthread_key_t rearming_key;
int rearmed = 0;

HOST_FRAME void* block_of_thread_local()
{
    return keep(malloc(41));
}
HOST_FRAME void* block_of_key()
{
    return keep(malloc(42));
}
HOST_FRAME void* block_of_rearming_key()
{
    return keep(malloc(43));
}
HOST_FRAME void* leak_in_thread_local_destructor()
{
    return keep(malloc(44));
}
HOST_FRAME void* leak_in_key_destructor()
{
    return keep(malloc(45));
}

struct Owner {
    void* block = block_of_thread_local();
    ~Owner()
    {
        free(block);
        leak_in_thread_local_destructor();
    }
};
thread_local Owner owner;

void destroy_once(void* block)
{
    free(block);
    leak_in_key_destructor();
}

void destroy_and_rearm(void* block)
{
    free(block);
    __atomic_fetch_add(&rearmed, 1, __ATOMIC_RELAXED);
    pthread_setspecific(rearming_key, block_of_rearming_key());
}

void run()
{
    keep(owner.block);
    pthread_setspecific(once_key, block_of_key());
    pthread_setspecific(rearming_key, block_of_rearming_key());
}

} // namespace

int main()
{
    HOST_CHECK(pthread_key_create(&once_key, destroy_once) == 0);
    HOST_CHECK(pthread_key_create(&rearming_key, destroy_and_rearm) == 0);
    for (int i = 0; i < kThreads; ++i) std::thread(run).join();
    // Each thread leaves the last block of the re-arming key: nobody destroys it.
    say("rounds %d of %d\n", rearmed / kThreads, PTHREAD_DESTRUCTOR_ITERATIONS);
    return 0;
}
