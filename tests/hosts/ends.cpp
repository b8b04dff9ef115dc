// The ways a process ends in mid-run. THREADS threads leak 16-byte blocks as fast as they can (and make and release
// another one each time), counting every completed call in shared memory; then the process ends as told.
// ends COUNTERS THREADS return|exit|_exit|quick_exit|abort|segv|kill|stop|exec
#include "host.hpp"

#include <pthread.h>
#include <signal.h>

namespace {

SharedCounter* counters;

HOST_FRAME void* leak_until_the_end()
{
    return keep(malloc(16));
}
HOST_FRAME void* make_and_release()
{
    return keep(malloc(48));
}

void one_round(SharedCounter& counter)
{
    free(make_and_release());
    leak_until_the_end();
    count(counter);
}

void* run(void* argument)
{
    SharedCounter& counter = counters[reinterpret_cast<size_t>(argument)];
    for (;;) one_round(counter);
    return nullptr;
}

HOST_FRAME void end_as(const char* how)
{
    const auto is = [how](const char* name) { return strcmp(how, name) == 0; };
    if (is("exit")) exit(11);
    if (is("_exit")) _exit(12);
    if (is("quick_exit")) quick_exit(13);
    if (is("abort")) abort();
    if (is("segv")) *reinterpret_cast<volatile int*>(opaque(8)) = 1;
    if (is("kill")) kill(getpid(), SIGKILL);
    if (is("stop"))
        for (;;) pause();
    if (is("exec")) {
        execl("/nonexistent/program", "program", nullptr);
        HOST_CHECK(errno == ENOENT);
        execl("/bin/true", "true", nullptr);
    }
}

} // namespace

int main(int argc, char** argv)
{
    HOST_CHECK(argc == 4);
    counters = map_counters(argv[1]);
    const size_t threads = strtoul(argv[2], nullptr, 10);
    for (size_t i = 1; i <= threads; ++i) {
        pthread_t thread;
        HOST_CHECK(pthread_create(&thread, nullptr, run, reinterpret_cast<void*>(i)) == 0);
    }
    for (int i = 0; i < 50000; ++i) one_round(counters[0]);
    end_as(argv[3]);
    return 10;
}
