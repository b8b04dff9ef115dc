// What a snapshot costs a process with a big heap: big_heap BLOCKS MARKS.
//
// Makes BLOCKS live blocks of 24 to 376 bytes, 200 on average: trees of 1,023 nodes with pointers to both children and
// the parent, the roots in a list; every 16th tree is forgotten. Then, MARKS times: sets a mark and waits until its
// snapshot is written, does nothing for as long, and forks a child that ends at once. Beside it a thread allocates and
// releases all the time and times each call. Prints one JSON object and kills itself, so that the snapshot that holds
// is that of the last mark.
#include "preload/leak.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

double us_since(Clock::time_point start)
{
    return std::chrono::duration<double, std::micro>(Clock::now() - start).count();
}

struct XorShift {
    uint64_t state = 88172645463325252u;
    uint64_t operator()()
    {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        return state;
    }
};

// -- the heap --

struct Node {
    Node* parent;
    Node* left;
    Node* right;
};
constexpr int kTreeDepth = 10;
constexpr long kTreeNodes = (1 << kTreeDepth) - 1;
constexpr long kForgotten = 16;

Node* forest = nullptr; // a tree's root has the tree before as its parent
uint64_t heap_bytes = 0;

__attribute__((noinline)) Node* make_tree(Node* parent, int depth, XorShift& random)
{
    if (depth == 0) return nullptr;
    const size_t bytes = sizeof(Node) + random() % 353;
    auto* node = static_cast<Node*>(malloc(bytes));
    memset(node, 1, bytes);
    heap_bytes += bytes;
    node->parent = parent;
    node->left = make_tree(node, depth - 1, random);
    node->right = make_tree(node, depth - 1, random);
    return node;
}

void make_forest(long trees)
{
    XorShift random;
    for (long i = 0; i < trees; ++i) {
        if (i % kForgotten == 0)
            make_tree(nullptr, kTreeDepth, random);
        else
            forest = make_tree(forest, kTreeDepth, random);
    }
}

// -- the other thread --

enum Phase { other, calm, forking, snapshot, phases };

struct Calls {
    uint64_t count = 0;
    uint64_t longer_than_50us = 0;
    double longest_us = 0;
};
Calls calls[phases];
std::atomic<Phase> phase{other};
std::atomic<bool> is_over{false};

template <typename Call> void timed(Call call)
{
    const Phase now = phase.load(std::memory_order_relaxed);
    const auto start = Clock::now();
    call();
    const double us = us_since(start);
    ++calls[now].count;
    calls[now].longer_than_50us += us > 50;
    calls[now].longest_us = std::max(calls[now].longest_us, us);
}

// Not all the time: it's the heap that is to be big, not the trace.
void allocate_and_release()
{
    static void* window[16384];
    XorShift random;
    while (!is_over.load(std::memory_order_relaxed)) {
        for (int i = 0; i < 100; ++i) {
            const uint64_t x = random();
            void*& slot = window[x >> 20 & 16383];
            timed([&] { free(slot); });
            timed([&] { slot = malloc(16 + (x & 511)); });
            if (slot) *static_cast<char*>(slot) = 1;
        }
        usleep(1000);
    }
}

// -- what is measured --

// Copies of the process are no children that wait() knows, but __WCLONE shows them.
bool is_being_copied()
{
    siginfo_t info{};
    return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT | static_cast<int>(__WCLONE)) == 0 || errno == EINTR;
}

double take_snapshot()
{
    phase = snapshot;
    const auto start = Clock::now();
    leak_mark("snapshot");
    const double us = us_since(start);
    while (is_being_copied()) usleep(1000);
    phase = other;
    usleep(100'000); // until the tracer has noticed, too
    return us;
}

double fork_once()
{
    phase = forking;
    const auto start = Clock::now();
    const pid_t child = fork();
    if (child == 0) _exit(0);
    const double us = us_since(start);
    if (child > 0) waitpid(child, nullptr, 0);
    phase = other;
    return us;
}

void print_list(const char* name, const std::vector<double>& list)
{
    printf(", \"%s\": [", name);
    for (size_t i = 0; i < list.size(); ++i) printf("%s%.1f", i == 0 ? "" : ", ", list[i]);
    printf("]");
}
void print_calls(const char* name, const Calls& of)
{
    printf(", \"%s\": {\"calls\": %llu, \"longer_than_50us\": %llu, \"longest_us\": %.1f}", name,
           static_cast<unsigned long long>(of.count), static_cast<unsigned long long>(of.longer_than_50us),
           of.longest_us);
}

} // namespace

int main(int argc, char** argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: big_heap BLOCKS MARKS\n");
        return 2;
    }
    const long trees = std::max(atol(argv[1]) / kTreeNodes, 1l);
    make_forest(trees);
    std::thread thread(allocate_and_release);
    std::vector<double> marks_us;
    std::vector<double> forks_us;
    for (int i = atoi(argv[2]); i > 0; --i) {
        const auto start = Clock::now();
        marks_us.push_back(take_snapshot());
        const auto length = Clock::now() - start;
        phase = calm;
        std::this_thread::sleep_for(length);
        phase = other;
        forks_us.push_back(fork_once());
    }
    is_over = true;
    thread.join();
    printf("{\"blocks\": %ld, \"bytes\": %llu, \"forgotten\": %ld", trees * kTreeNodes,
           static_cast<unsigned long long>(heap_bytes), (trees + kForgotten - 1) / kForgotten * kTreeNodes);
    print_list("marks_us", marks_us);
    print_list("forks_us", forks_us);
    print_calls("calm", calls[calm]);
    print_calls("fork", calls[forking]);
    print_calls("snapshot", calls[snapshot]);
    printf("}\n");
    fflush(stdout);
    return raise(SIGKILL);
}
