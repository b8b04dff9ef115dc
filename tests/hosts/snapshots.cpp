// What a program may notice while copies of it write snapshots: nothing.
// snapshots end exit|return|_exit|_Exit|quick_exit|exec|failed_exec
// snapshots handler exit|fork a signal handler that does so while the copy of the end works
// snapshots children        its wait() sees its own children alone
// snapshots marks N THREADS N marks while threads allocate
// snapshots forks N         forks right after a mark, N times; the children allocate and set marks themselves
// snapshots stack           a mark and an end on a stack of 16 KiB
// snapshots wait MIB        holds so much in blocks of 64 bytes in a list, says so, and goes on until its input ends
// snapshots limit nproc|as  at that limit
// snapshots threads         threads that wait, each with a block that only its stack leads to
// snapshots roots           registers memory that others share
// snapshots freed           frees most of its blocks, which point to each other
#include "host.hpp"
#include "leak.h"

#include <csignal>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/wait.h>

namespace {

volatile sig_atomic_t child_signals = 0;

struct Node {
    Node* next;
    char rest[56];
};
Node* list = nullptr;
void* volatile reachable = nullptr;

HOST_FRAME void* keep_global()
{
    return keep(malloc(1008)); // glibc points to the end of its last chunk: 8 bytes into a block of 1000
}
HOST_FRAME void lose_block()
{
    keep(malloc(2000));
}
HOST_FRAME void grow_list(size_t bytes)
{
    for (size_t i = 0; i < bytes / sizeof(Node); ++i) {
        auto* node = static_cast<Node*>(malloc(sizeof(Node)));
        node->next = list;
        list = node;
    }
}

void watch_children()
{
    struct sigaction action = {};
    action.sa_handler = [](int) { child_signals = child_signals + 1; };
    sigaction(SIGCHLD, &action, nullptr);
}

int end_as(const char* how)
{
    const auto is = [how](const char* name) { return strcmp(how, name) == 0; };
    watch_children();
    reachable = keep_global();
    lose_block();
    HOST_CHECK(waitpid(-1, nullptr, WNOHANG) == -1 && errno == ECHILD);
    say("end as %s\n", how);
    if (is("exit")) exit(11);
    if (is("_exit")) _exit(12);
    if (is("_Exit")) _Exit(13);
    if (is("quick_exit")) {
        at_quick_exit([] { say("%d signals\n", static_cast<int>(child_signals)); });
        quick_exit(14);
    }
    if (is("exec")) execl("/bin/echo", "echo", "replaced", nullptr);
    if (is("failed_exec")) {
        execl("/nonexistent/program", "program", nullptr);
        HOST_CHECK(errno == ENOENT);
        keep_global();
    }
    say("%d signals\n", static_cast<int>(child_signals));
    return 15;
}

// The copy stands still while the handler begins.
pid_t copy = 0;
// The child returns from the handler and ends as the program does.
void fork_in_handler(int)
{
    kill(copy, SIGCONT);
    const pid_t child = fork();
    int status = 0;
    if (child == 0) return;
    HOST_CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 11);
    say("forked\n");
}
[[noreturn]] void exit_in_handler(int)
{
    kill(copy, SIGCONT);
    free(keep(malloc(100)));
    _exit(21);
}
// Waits for the copy of the main thread's end, stops it, and sends the signal.
void* interrupt_end(void* main_thread)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/self/task/%d/children", getpid());
    const int file = open(path, O_RDONLY | O_CLOEXEC);
    HOST_CHECK(file >= 0);
    for (char text[32] = {}; pread(file, text, sizeof text - 1, 0) <= 0 || (copy = atoi(text)) == 0;) continue;
    HOST_CHECK(kill(copy, SIGSTOP) == 0);
    HOST_CHECK(pthread_kill(*static_cast<pthread_t*>(main_thread), SIGALRM) == 0);
    for (;;) pause();
}
int end_in_handler(bool forks)
{
    grow_list(size_t{64} << 20);
    struct sigaction action = {};
    action.sa_handler = forks ? fork_in_handler : exit_in_handler;
    sigaction(SIGALRM, &action, nullptr);
    static pthread_t main_thread = pthread_self();
    pthread_t thread;
    HOST_CHECK(pthread_create(&thread, nullptr, interrupt_end, &main_thread) == 0);
    exit(11);
}

int wait_for_children()
{
    watch_children();
    grow_list(size_t{32} << 20);
    for (int i = 0; i < 20; ++i) {
        leak_mark("no children");
        HOST_CHECK(waitpid(-1, nullptr, WNOHANG) == -1 && errno == ECHILD);
        HOST_CHECK(wait(nullptr) == -1 && errno == ECHILD);
        HOST_CHECK(child_signals == i);
        const pid_t child = fork();
        if (child == 0) _exit(i);
        leak_mark("a child");
        int status = 0;
        pid_t waited = 0;
        while ((waited = wait(&status)) == -1 && errno == EINTR) continue;
        HOST_CHECK(waited == child && WIFEXITED(status) && WEXITSTATUS(status) == i);
        HOST_CHECK(child_signals == i + 1);
    }
    say("%d signals\n", static_cast<int>(child_signals));
    return 0;
}

void* allocate_until_told(void* stop)
{
    void* kept[64] = {};
    for (size_t i = 0; !__atomic_load_n(static_cast<bool*>(stop), __ATOMIC_RELAXED); ++i) {
        free(kept[i % 64]);
        kept[i % 64] = malloc(16 + i % 500);
    }
    for (void* block : kept) free(block);
    return nullptr;
}

int set_marks(int count, int threads)
{
    bool stop = false;
    pthread_t made[64];
    HOST_CHECK(threads <= 64);
    for (int i = 0; i < threads; ++i) pthread_create(&made[i], nullptr, allocate_until_told, &stop);
    for (int i = 0; i < count; ++i) {
        leak_mark("again");
        usleep(2000);
    }
    __atomic_store_n(&stop, true, __ATOMIC_RELAXED);
    for (int i = 0; i < threads; ++i) pthread_join(made[i], nullptr);
    say("done\n");
    return 0;
}

int fork_after_marks(int count)
{
    grow_list(size_t{16} << 20);
    for (int i = 0; i < count; ++i) {
        leak_mark("fork");
        const pid_t child = fork();
        if (child == 0) {
            HOST_CHECK(waitpid(-1, nullptr, WNOHANG) == -1 && errno == ECHILD);
            reachable = keep_global();
            leak_mark("child");
            lose_block();
            exit(i % 100);
        }
        int status = 0;
        HOST_CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == i % 100);
    }
    say("done\n");
    return 0;
}

HOST_FRAME void* keep_on_stack()
{
    return keep(malloc(500));
}
// The pointer stays in a frame that has returned.
HOST_FRAME void forget_on_stack()
{
    void* volatile deep[200];
    for (auto& place : deep) place = nullptr;
    deep[3] = keep(malloc(700));
}

void* wait_with_block(void* ready)
{
    void* volatile block = keep_on_stack();
    forget_on_stack();
    __atomic_fetch_add(static_cast<int*>(ready), 1, __ATOMIC_SEQ_CST);
    for (;;) pause();
    return block;
}

int wait_in_threads()
{
    int ready = 0;
    for (int i = 0; i < 4; ++i) {
        pthread_t thread;
        HOST_CHECK(pthread_create(&thread, nullptr, wait_with_block, &ready) == 0);
    }
    while (__atomic_load_n(&ready, __ATOMIC_SEQ_CST) != 4) usleep(1000);
    usleep(50'000);
    void* volatile block = keep_on_stack();
    forget_on_stack();
    reachable = keep_global();
    lose_block();
    say("end\n");
    _exit(block == nullptr);
}

void* mark_and_end(void*)
{
    leak_mark("small stack");
    say("marked\n");
    usleep(100'000);
    exit(3);
}

int use_small_stack()
{
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    HOST_CHECK(pthread_attr_setstacksize(&attributes, 16384) == 0);
    reachable = keep_global();
    pthread_t thread;
    HOST_CHECK(pthread_create(&thread, &attributes, mark_and_end, nullptr) == 0);
    pthread_join(thread, nullptr);
    return 0;
}

int wait_for_input(size_t mib)
{
    grow_list(mib << 20);
    lose_block();
    for (int i = 0; i < 20'000; ++i) free(keep(malloc(100))); // fills a buffer: the threads of ours are there
    say("ready\n");
    char byte = 0;
    while (read(STDIN_FILENO, &byte, 1) > 0) {
        if (byte == 'm') leak_mark("asked");
        if (byte == 'a') grow_list(size_t{1} << 20);
        say("%c\n", byte);
    }
    say("end\n");
    return 0;
}

int reach_limit(const char* which)
{
    reachable = keep_global();
    struct rlimit limit = {0, 0};
    if (strcmp(which, "nproc") == 0) {
        HOST_CHECK(geteuid() != 0 || setuid(65534) == 0);
        HOST_CHECK(setrlimit(RLIMIT_NPROC, &limit) == 0);
    } else {
        limit.rlim_cur = limit.rlim_max = size_t{4} << 20; // less than there is
        HOST_CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
    }
    leak_mark("at the limit");
    say("goes on\n");
    return 5;
}

int register_roots()
{
    auto** shared = static_cast<void**>(
        mmap(nullptr, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, open("/proc/self/exe", O_RDONLY), 0));
    if (shared == MAP_FAILED) {
        const int fd = memfd_create("roots", 0);
        HOST_CHECK(ftruncate(fd, 8192) == 0);
        shared = static_cast<void**>(mmap(nullptr, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
        close(fd);
    }
    HOST_CHECK(shared != MAP_FAILED);
    leak_root(shared, 4096);
    leak_root(shared + 512, 4096);
    leak_unroot(shared + 512);
    shared[7] = keep_global();
    shared[600] = keep_global();
    say("registered\n");
    return 0;
}

struct Linked {
    Linked* next;
    Linked* freed[2]; // glibc overwrites these in free blocks
    Linked* others[5];
};
Linked* linked[200'000];

HOST_FRAME Linked* make_linked()
{
    return static_cast<Linked*>(keep(malloc(sizeof(Linked))));
}
// One of a hundred stays, and leads to the next one that does.
int free_most()
{
    constexpr size_t kCount = sizeof linked / sizeof linked[0], kKept = 100;
    for (Linked*& node : linked) node = make_linked();
    uint32_t random = 1;
    for (size_t i = 0; i < kCount; ++i) {
        *linked[i] = {};
        if (i % kKept == 0) {
            linked[i]->next = i + kKept < kCount ? linked[i + kKept] : nullptr;
            continue;
        }
        for (Linked*& other : linked[i]->others) other = linked[(random = random * 1664525 + 1013904223) % kCount];
    }
    reachable = linked[0];
    for (size_t i = 0; i < kCount; ++i)
        if (i % kKept != 0) free(linked[i]);
    memset(linked, 0, sizeof linked);
    free(keep(malloc(100'000))); // joins the free ones
    say("freed\n");
    return 0;
}

} // namespace

int main(int argc, char** argv)
{
    HOST_CHECK(argc >= 2);
    const auto is = [argv](const char* name) { return strcmp(argv[1], name) == 0; };
    const auto number = [argc, argv](int i) { return argc > i ? atoi(argv[i]) : 0; };
    if (is("end")) return end_as(argv[2]);
    if (is("handler")) return end_in_handler(strcmp(argv[2], "fork") == 0);
    if (is("children")) return wait_for_children();
    if (is("marks")) return set_marks(number(2), number(3));
    if (is("forks")) return fork_after_marks(number(2));
    if (is("stack")) return use_small_stack();
    if (is("wait")) return wait_for_input(static_cast<size_t>(number(2)));
    if (is("limit")) return reach_limit(argv[2]);
    if (is("threads")) return wait_in_threads();
    if (is("roots")) return register_roots();
    if (is("freed")) return free_most();
    return 2;
}
