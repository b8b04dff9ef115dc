// Allocates below a function that has no call frame information, or none that is loaded.
//   no_cfi_host [NEW OLD]    replaces a file before
//   no_cfi_host KEYS         makes so many pthread keys before, and does it on another thread, too
#include "host.hpp"

#include <cstdio>
#include <cstdlib>
#include <pthread.h>

extern "C" void call_without_cfi(void (*function)(int), int argument);

namespace {

HOST_FRAME void inside(int bytes)
{
    keep(malloc(static_cast<size_t>(bytes)));
}

void* on_thread(void*)
{
    call_without_cfi(inside, 10);
    return nullptr;
}

} // namespace

int main(int argc, char** argv)
{
    if (argc == 2) {
        pthread_key_t key;
        for (int i = std::atoi(argv[1]); i > 0; --i) HOST_CHECK(pthread_key_create(&key, nullptr) == 0);
        pthread_t thread;
        HOST_CHECK(pthread_create(&thread, nullptr, on_thread, nullptr) == 0);
        HOST_CHECK(pthread_join(thread, nullptr) == 0);
    }
    if (argc == 3 && std::rename(argv[1], argv[2]) != 0) return 1;
    for (int i = 0; i < 1000; ++i) call_without_cfi(inside, 10);
    keep(malloc(77));
    say("done\n");
    return 0;
}
