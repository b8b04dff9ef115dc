// slow_storage MILLISECONDS ACCOUNT PROGRAM ARGUMENT...: runs the program with a disk that answers late. Each system
// call by which a process makes, maps or writes a shared file, of any of its threads and children, waits so long in the
// kernel before it is carried out, the calls of several threads at the same time. Writes to ACCOUNT how many calls
// waited, and ends as the program ends.
//
// Seccomp's user notification: the calls wait for this process, which says "go on" (Linux 5.5). What a process stores
// into a mapped file it stores at the speed of memory, here as on any disk, until the kernel has to write it back.
#include "host.hpp"

#include <csignal>
#include <ctime>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

namespace {

constexpr int kUnavailable = 77; // meson's number for a test that can't run here
constexpr size_t kMostWaiting = 256;

struct Waiting {
    uint64_t id;
    int64_t due_ns;
};
// In the order in which they came, and are due.
Waiting g_waiting[kMostWaiting];
size_t g_first = 0;
size_t g_count = 0;

int64_t now_ns()
{
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

// The listener's descriptor; -1 where the kernel has none to give.
int slow_down_file_calls()
{
    constexpr uint32_t kNumberAt = offsetof(seccomp_data, nr);
    constexpr uint32_t kFlagsAt = offsetof(seccomp_data, args) + 3 * sizeof(uint64_t); // of mmap, the lower half
    sock_filter program[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, kNumberAt),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_fallocate, 7, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_ftruncate, 6, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_pwrite64, 5, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_msync, 4, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mmap, 0, 2),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, kFlagsAt),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, MAP_SHARED, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
    };
    const sock_fprog filter = {sizeof program / sizeof *program, program};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return -1;
    return static_cast<int>(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &filter));
}

void send_descriptor(int socket, int fd)
{
    char byte = 0;
    iovec data = {&byte, 1};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof fd)] = {};
    msghdr message = {};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    cmsghdr* const header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(header), &fd, sizeof fd);
    HOST_CHECK(sendmsg(socket, &message, 0) == 1);
}

int receive_descriptor(int socket)
{
    char byte = 0;
    iovec data = {&byte, 1};
    int fd = -1;
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof fd)] = {};
    msghdr message = {};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    if (recvmsg(socket, &message, MSG_CMSG_CLOEXEC) != 1 || CMSG_FIRSTHDR(&message) == nullptr) return -1;
    memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof fd);
    return fd;
}

[[noreturn]] void become(int socket, char** command)
{
    const int listener = slow_down_file_calls();
    if (listener < 0) _exit(kUnavailable);
    send_descriptor(socket, listener);
    close(listener);
    close(socket);
    execvp(command[0], command);
    _exit(127);
}

void let_go(int listener)
{
    seccomp_notif_resp answer = {};
    answer.id = g_waiting[g_first].id;
    answer.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
    ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer); // fails if who waited is gone
    g_first = (g_first + 1) % kMostWaiting;
    --g_count;
}

// Until nobody is left that the filter applies to. Returns how many calls it held up.
size_t serve(int listener, int64_t delay_ns)
{
    size_t calls = 0;
    for (;;) {
        while (g_count > 0 && g_waiting[g_first].due_ns <= now_ns()) let_go(listener);
        timespec wait = {};
        if (g_count > 0) {
            const int64_t left = g_waiting[g_first].due_ns - now_ns();
            if (left > 0) wait = {left / 1'000'000'000, left % 1'000'000'000};
        }
        pollfd ready = {listener, POLLIN, 0};
        if (ppoll(&ready, 1, g_count > 0 ? &wait : nullptr, nullptr) < 0) HOST_CHECK(errno == EINTR);
        if ((ready.revents & POLLIN) != 0 && g_count < kMostWaiting) {
            seccomp_notif call = {};
            if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &call) != 0) continue; // killed meanwhile
            g_waiting[(g_first + g_count++) % kMostWaiting] = {call.id, now_ns() + delay_ns};
            ++calls;
        } else if ((ready.revents & POLLHUP) != 0) {
            return calls;
        }
    }
}

} // namespace

int main(int argc, char** argv)
{
    HOST_CHECK(argc >= 4);
    const int64_t delay_ns = strtol(argv[1], nullptr, 10) * 1'000'000;
    int sockets[2];
    HOST_CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) == 0);
    const pid_t child = fork();
    HOST_CHECK(child >= 0);
    if (child == 0) become(sockets[1], argv + 3);
    close(sockets[1]);
    const int listener = receive_descriptor(sockets[0]);
    const size_t calls = listener < 0 ? 0 : serve(listener, delay_ns);
    int status = 0;
    HOST_CHECK(waitpid(child, &status, 0) == child);
    const int account = open(argv[2], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    dprintf(account, "%zu\n", calls);
    if (WIFEXITED(status)) return WEXITSTATUS(status);
    signal(WTERMSIG(status), SIG_DFL);
    raise(WTERMSIG(status));
    return 1;
}
