// A process of which a core is dumped, and that goes on: "ready", then at a byte of its input "changed", until that
// ends.
#include "host.hpp"

#include <atomic>
#include <pthread.h>
#include <sys/syscall.h>

namespace {

constexpr size_t kUndumpedBytes = 1 << 20;

void* volatile kept;
void* volatile released;
void** volatile undumped;

HOST_FRAME void lost_later()
{
    kept = malloc(2001);
}
HOST_FRAME void released_later()
{
    released = malloc(2002);
}
// Of the size of the one that was released: one of them is given its address.
HOST_FRAME void made_later()
{
    for (int i = 0; i < 10; ++i) keep(malloc(2002));
}
HOST_FRAME void left_out_of_cores()
{
    undumped = static_cast<void**>(aligned_alloc(4096, kUndumpedBytes));
    HOST_CHECK(madvise(undumped, kUndumpedBytes, MADV_DONTDUMP) == 0);
}
HOST_FRAME void behind_what_is_left_out()
{
    undumped[100] = malloc(2003);
}

HOST_FRAME uintptr_t in_vector_register()
{
    return hide(malloc(2004));
}
std::atomic<bool> is_settled{false};
std::atomic<pid_t> settled_tid{0};
// Waits in a system call, with the pointer in xmm15 and nowhere else.
void* run_with_register(void*)
{
    uintptr_t hidden = in_vector_register();
    scrub_stack();
    settled_tid = gettid();
    is_settled = true;
    asm volatile("xor %[mask], %%rbx\n"
                 "movq %%rbx, %%xmm15\n"
                 "xor %%ebx, %%ebx\n"
                 "0: mov %[pause], %%eax\n"
                 "syscall\n"
                 "jmp 0b\n"
                 : "+b"(hidden)
                 : [mask] "r"(kHidingMask), [pause] "i"(SYS_pause)
                 : "rax", "rcx", "r11", "xmm15", "memory");
    __builtin_unreachable();
}

bool waits_in_pause()
{
    char path[64], text[16] = {};
    snprintf(path, sizeof path, "/proc/self/task/%d/syscall", settled_tid.load());
    const int file = open(path, O_RDONLY);
    const ssize_t bytes = file < 0 ? 0 : read(file, text, sizeof text - 1);
    close(file);
    return file < 0 || bytes <= 0 || atoi(text) == SYS_pause; // where the system does not say it
}

} // namespace

int main()
{
    pthread_t thread;
    HOST_CHECK(pthread_create(&thread, nullptr, run_with_register, nullptr) == 0);
    while (!is_settled || !waits_in_pause()) usleep(1000);
    lost_later();
    released_later();
    left_out_of_cores();
    behind_what_is_left_out();
    scrub_stack();
    say("ready\n");
    char byte;
    HOST_CHECK(read(STDIN_FILENO, &byte, 1) == 1);
    kept = nullptr;
    free(released);
    made_later();
    say("changed\n");
    while (read(STDIN_FILENO, &byte, 1) > 0) {}
    exit(0);
}
