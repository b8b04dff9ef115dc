// bus_signals sound|default|raised|reset|ignored|exec: what a program may do with SIGBUS, its own faults in a mapping
// that is longer than its file, and what it is told about its dispositions. All but "sound" and "exec" end by SIGBUS.
#include "host.hpp"

#include <csetjmp>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

#pragma GCC diagnostic ignored "-Wdeprecated-declarations" // which is what legacy() is about

namespace {

volatile sig_atomic_t g_calls = 0;
volatile sig_atomic_t g_code = 0;
void* volatile g_address = nullptr;
sigjmp_buf g_back;
char* g_short = nullptr; // a page that its file does not have

HOST_FRAME void* churn()
{
    return keep(malloc(90));
}
HOST_FRAME void* made_in_handler()
{
    return keep(malloc(91));
}

void count_call(int)
{
    g_calls = g_calls + 1;
}
void leave(int signal, siginfo_t* info, void*)
{
    HOST_CHECK(signal == SIGBUS);
    made_in_handler();
    g_calls = g_calls + 1;
    g_code = info->si_code;
    g_address = info->si_addr;
    siglongjmp(g_back, 1);
}
void repair(int, siginfo_t* info, void*)
{
    g_calls = g_calls + 1;
    HOST_CHECK(info->si_addr == g_short + 8);
    HOST_CHECK(mmap(g_short, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == g_short);
}

// Unknown bits and the C library's own are left out.
void show(const char* what)
{
    struct sigaction now;
    memset(&now, 0x55, sizeof now);
    errno = 5;
    HOST_CHECK(sigaction(SIGBUS, nullptr, &now) == 0 && errno == 5);
    const char* handler = now.sa_handler == SIG_DFL      ? "default"
                          : now.sa_handler == SIG_IGN    ? "ignored"
                          : now.sa_handler == count_call ? "count_call"
                          : now.sa_sigaction == leave    ? "leave"
                          : now.sa_sigaction == repair   ? "repair"
                                                         : "unknown";
    unsigned long mask = 0;
    memcpy(&mask, &now.sa_mask, sizeof mask);
    say("%s: %s flags %#x mask %#lx restorer %d\n", what, handler, static_cast<unsigned>(now.sa_flags), mask,
        now.sa_restorer != nullptr);
}

void set(void (*handler)(int, siginfo_t*, void*), int flags)
{
    struct sigaction action = {};
    action.sa_sigaction = handler;
    action.sa_flags = flags | SA_SIGINFO;
    sigaddset(&action.sa_mask, SIGUSR1);
    sigaddset(&action.sa_mask, SIGKILL);
    HOST_CHECK(sigaction(SIGBUS, &action, nullptr) == 0);
}

void map_short()
{
    const int fd = open("short", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    HOST_CHECK(fd >= 0 && ftruncate(fd, 4096) == 0);
    void* map = mmap(nullptr, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    HOST_CHECK(map != MAP_FAILED);
    close(fd);
    g_short = static_cast<char*>(map) + 4096;
}

void fault(const char* what)
{
    g_calls = 0;
    if (sigsetjmp(g_back, 1) == 0) {
        *const_cast<volatile char*>(g_short + 8) = 1;
        say("%s: stored, %d calls\n", what, static_cast<int>(g_calls));
    } else {
        say("%s: left, %d calls, code %d, address %d\n", what, static_cast<int>(g_calls), static_cast<int>(g_code),
            g_address == g_short + 8);
    }
}

void raised(const char* what, int times)
{
    g_calls = 0;
    for (int i = 0; i < times; ++i) HOST_CHECK(raise(SIGBUS) == 0);
    say("%s: %d calls\n", what, static_cast<int>(g_calls));
}

const char* name_of(sighandler_t old)
{
    return old == SIG_DFL      ? "default"
           : old == SIG_IGN    ? "ignored"
           : old == SIG_HOLD   ? "held"
           : old == count_call ? "count_call"
           : old == SIG_ERR    ? "error"
                               : "another";
}

void legacy()
{
    say("signal: was %s\n", name_of(signal(SIGBUS, count_call)));
    show("signal");
    raised("signal", 3);
    HOST_CHECK(siginterrupt(SIGBUS, 1) == 0);
    show("siginterrupt");
    HOST_CHECK(siginterrupt(SIGBUS, 0) == 0);
    show("siginterrupt off");
    say("sysv: was %s\n", name_of(sysv_signal(SIGBUS, count_call)));
    show("sysv");
    raised("sysv", 1);
    show("sysv, after it was called");
    say("ssignal: was %s\n", name_of(ssignal(SIGBUS, count_call)));
    say("hold: was %s\n", name_of(sigset(SIGBUS, SIG_HOLD)));
    sigset_t mask;
    HOST_CHECK(sigprocmask(SIG_BLOCK, nullptr, &mask) == 0);
    say("hold: blocked %d\n", sigismember(&mask, SIGBUS));
    say("sigset: was %s\n", name_of(sigset(SIGBUS, count_call)));
    HOST_CHECK(sigprocmask(SIG_BLOCK, nullptr, &mask) == 0);
    say("sigset: blocked %d, was %s\n", sigismember(&mask, SIGBUS), name_of(sigset(SIGBUS, SIG_DFL)));
    show("sigset");
    HOST_CHECK(sigignore(SIGBUS) == 0);
    raised("ignored", 5);
    show("ignored");
    say("signal: was %s\n", name_of(signal(SIGBUS, SIG_DFL)));
    say("error %d\n", sigaction(SIGKILL, nullptr, nullptr) == 0 && signal(SIGKILL, SIG_IGN) == SIG_ERR);
}

// What every thread of the program blocks waits for sigwait, whoever else is there.
void waited_for()
{
    sigset_t bus;
    sigemptyset(&bus);
    sigaddset(&bus, SIGBUS);
    HOST_CHECK(pthread_sigmask(SIG_BLOCK, &bus, nullptr) == 0);
    int taken = 0;
    for (int i = 0; i < 200; ++i) {
        for (int n = 0; n < 2000; ++n) free(churn());
        HOST_CHECK(kill(getpid(), SIGBUS) == 0);
        for (int n = 0; n < 2000; ++n) free(churn());
        const timespec patience = {5, 0};
        taken += sigtimedwait(&bus, nullptr, &patience) == SIGBUS;
    }
    say("waited for: %d\n", taken);
    HOST_CHECK(pthread_sigmask(SIG_UNBLOCK, &bus, nullptr) == 0);
}

void sent_while_working()
{
    signal(SIGBUS, count_call);
    g_calls = 0;
    for (int i = 0; i < 500; ++i) {
        for (int n = 0; n < 300; ++n) free(churn());
        const int before = g_calls;
        HOST_CHECK(kill(getpid(), SIGBUS) == 0);
        for (int n = 0; g_calls == before && n < 100'000'000; ++n) asm volatile("pause");
    }
    say("sent: %d calls\n", static_cast<int>(g_calls));
    signal(SIGBUS, SIG_DFL);
}

void in_child()
{
    set(leave, 0);
    const pid_t child = fork();
    HOST_CHECK(child >= 0);
    if (child == 0) {
        for (int n = 0; n < 1000; ++n) free(churn());
        fault("child");
        signal(SIGBUS, SIG_DFL);
        *const_cast<volatile char*>(g_short + 8) = 1;
        _exit(1);
    }
    int status = 0;
    HOST_CHECK(waitpid(child, &status, 0) == child);
    say("child ended by %d\n", WIFSIGNALED(status) ? WTERMSIG(status) : -1);
    const pid_t sibling = vfork();
    if (sibling == 0) {
        signal(SIGBUS, SIG_DFL);
        _exit(0);
    }
    HOST_CHECK(waitpid(sibling, &status, 0) == sibling);
    show("after vfork");
    fault("after vfork");
}

} // namespace

int main(int argc, char** argv)
{
    HOST_CHECK(argc == 2);
    const char mode = argv[1][0];
    map_short();
    if (mode == 's') show("at first");
    if (mode == 's') set(leave, SA_NODEFER);
    for (int n = 0; n < 200'000; ++n) free(churn());
    if (mode == 's') {
        show("set before there was a trace");
        fault("first");
        fault("second");
        set(leave, SA_RESTART | SA_ONSTACK);
        show("set again");
        raised("nothing", 0);
        fault("third");
        set(leave, static_cast<int>(SA_RESETHAND));
        show("once");
        fault("once");
        show("after once");
        signal(SIGBUS, SIG_DFL);
        legacy();
        waited_for();
        sent_while_working();
        in_child();
        set(repair, 0);
        fault("repaired");
        fault("no more faults");
        say("done\n");
        return 0;
    } else if (mode == 'e') {
        signal(SIGBUS, SIG_IGN);
        for (int n = 0; n < 1000; ++n) free(churn());
        execl("/bin/sh", "sh", "-c", "grep SigIgn /proc/self/status", static_cast<char*>(nullptr));
    } else if (mode == 'r' && argv[1][1] == 'a') {
        raise(SIGBUS);
    } else if (mode == 'r') {
        sysv_signal(SIGBUS, count_call);
        raised("reset", 1);
        raise(SIGBUS);
    } else {
        if (mode == 'i') signal(SIGBUS, SIG_IGN);
        if (mode == 'i') raised("ignored", 2);
        *const_cast<volatile char*>(g_short + 8) = 1;
    }
    return 1;
}
