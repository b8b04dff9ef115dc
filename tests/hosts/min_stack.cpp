// Threads with the smallest stack there is allocate; so does one whose stack is its own block of memory.
#include "host.hpp"

#include <limits.h>
#include <pthread.h>

namespace {

HOST_FRAME void* leak_on_small_stack()
{
    return keep(malloc(33));
}

void* run(void*)
{
    for (int i = 0; i < 100; ++i) {
        void* block = leak_on_small_stack();
        if (i != 0) free(block);
    }
    return nullptr;
}

} // namespace

int main()
{
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    const auto smallest = static_cast<size_t>(PTHREAD_STACK_MIN);
    HOST_CHECK(pthread_attr_setstacksize(&attributes, smallest) == 0);
    pthread_t thread;
    for (int i = 0; i < 10; ++i) {
        HOST_CHECK(pthread_create(&thread, &attributes, run, nullptr) == 0);
        pthread_join(thread, nullptr);
    }
    alignas(64) static char stack[64 * 1024];
    HOST_CHECK(pthread_attr_setstack(&attributes, stack, sizeof stack) == 0);
    HOST_CHECK(pthread_create(&thread, &attributes, run, nullptr) == 0);
    pthread_join(thread, nullptr);
    return 0;
}
