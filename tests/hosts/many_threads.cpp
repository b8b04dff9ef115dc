// 200 threads in turn, each of another way to end: return, pthread_exit, cancelled, detached. Each leaks 24 bytes.
#include "host.hpp"

#include <atomic>
#include <pthread.h>
#include <sys/prctl.h>

namespace {

std::atomic<int> detached_done{0};

HOST_FRAME void leak_in_thread()
{
    keep(malloc(24));
}

void* returning(void*)
{
    prctl(PR_SET_NAME, "returning");
    leak_in_thread();
    return nullptr;
}
void* exiting(void*)
{
    leak_in_thread();
    pthread_exit(nullptr);
}
void* cancelled(void*)
{
    leak_in_thread();
    for (;;) {
        free(keep(malloc(100)));
        pthread_testcancel();
    }
}
void* detached(void*)
{
    leak_in_thread();
    detached_done.fetch_add(1);
    return nullptr;
}

} // namespace

int main()
{
    for (int i = 0; i < 200; ++i) {
        pthread_t thread;
        switch (i % 4) {
        case 0:
        case 1:
            HOST_CHECK(pthread_create(&thread, nullptr, i % 4 == 0 ? returning : exiting, nullptr) == 0);
            HOST_CHECK(pthread_join(thread, nullptr) == 0);
            break;
        case 2: {
            HOST_CHECK(pthread_create(&thread, nullptr, cancelled, nullptr) == 0);
            HOST_CHECK(pthread_cancel(thread) == 0);
            void* result = nullptr;
            HOST_CHECK(pthread_join(thread, &result) == 0 && result == PTHREAD_CANCELED);
            break;
        }
        default:
            HOST_CHECK(pthread_create(&thread, nullptr, detached, nullptr) == 0);
            HOST_CHECK(pthread_detach(thread) == 0);
            while (detached_done.load() != i / 4 + 1) usleep(100);
            break;
        }
    }
    return 0;
}
