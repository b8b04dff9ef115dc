// A small program has one thread and no children, whatever watches it.
#include "host.hpp"

#include <dirent.h>
#include <signal.h>
#include <sys/wait.h>

namespace {

int signals_seen = 0;
void on_signal(int)
{
    ++signals_seen;
}

int entries_of(const char* path)
{
    DIR* directory = opendir(path);
    HOST_CHECK(directory != nullptr);
    int entries = 0;
    while (const dirent* entry = readdir(directory))
        if (entry->d_name[0] != '.') ++entries;
    closedir(directory);
    return entries;
}

} // namespace

int main()
{
    struct sigaction action = {};
    action.sa_handler = on_signal;
    sigaction(SIGCHLD, &action, nullptr);
    for (int i = 0; i < 50; ++i) keep(malloc(16));
    say("threads %d\n", entries_of("/proc/self/task"));
    errno = 0;
    const pid_t waited = waitpid(-1, nullptr, WNOHANG);
    say("wait %d errno %d\n", static_cast<int>(waited), errno);
    say("descriptors %d\n", entries_of("/proc/self/fd"));
    say("signals %d\n", signals_seen);
    struct sigaction now = {};
    for (int number = 1; number < 32; ++number)
        if (sigaction(number, nullptr, &now) == 0 && now.sa_handler != SIG_DFL && number != SIGCHLD)
            say("signal %d has a handler\n", number);
    sigset_t mask;
    sigprocmask(SIG_SETMASK, nullptr, &mask);
    for (int number = 1; number < 32; ++number)
        if (sigismember(&mask, number) == 1) say("signal %d is blocked\n", number);
    return 0;
}
