#include "preload/snapshot/host_threads.hpp"

#include "preload/os.hpp"
#include "preload/own_thread.hpp"
#include "preload/text.hpp"

#include <linux/unistd.h>

namespace leak::preload {

namespace {

// Looking at a thread takes three files of /proc, about 15 microseconds; the thread that makes the copy waits for it.
constexpr uint32_t kMostLookedAt = 128;
constexpr size_t kTextBytes = 256;

// getdents64(2)
struct DirectoryEntry {
    uint64_t inode;
    int64_t next;
    uint16_t bytes;
    uint8_t type;
    char name[];
};

[[nodiscard]] bool read_of_thread(uint32_t tid, std::string_view file, char (&text)[kTextBytes]) noexcept
{
    Text<64> path;
    path.add("/proc/self/task/").add_number(tid).add(file);
    const long bytes = os::read_file(path.c_str(), text, sizeof text - 1);
    if (bytes <= 0) return false;
    text[bytes] = 0;
    return true;
}

// Time that it ran, time that it waited for a processor, how often it was put on one.
[[nodiscard]] uint64_t times_run(uint32_t tid) noexcept
{
    char text[kTextBytes];
    if (!read_of_thread(tid, "/schedstat", text)) return 0;
    uint64_t hash = 0xcbf29ce484222325u; // FNV-1a
    for (const char* at = text; *at != 0; ++at) hash = (hash ^ static_cast<uint8_t>(*at)) * 0x100000001b3u;
    return hash | 1;
}

// A hexadecimal number with 0x behind spaces.
[[nodiscard]] uint64_t take_address(const char*& at) noexcept
{
    while (*at == ' ') ++at;
    if (at[0] == '0' && at[1] == 'x') at += 2;
    uint64_t number = 0;
    for (;; ++at) {
        if (*at >= '0' && *at <= '9')
            number = number << 4 | static_cast<uint64_t>(*at - '0');
        else if (*at >= 'a' && *at <= 'f')
            number = number << 4 | static_cast<uint64_t>(*at - 'a' + 10);
        else
            return number;
    }
}

// proc(5), /proc/pid/syscall: "running", or "-1 SP PC", or the number of a system call, six arguments, SP and PC.
void look_at(HostThread& thread) noexcept
{
    thread.times_run = times_run(thread.tid);
    char text[kTextBytes];
    if (thread.times_run == 0 || !read_of_thread(thread.tid, "/syscall", text) || text[0] == 'r') return;
    const char* at = text;
    const bool is_in_call = *at != '-';
    while (*at != 0 && *at != ' ') ++at;
    if (is_in_call)
        for (uint64_t& argument : thread.arguments) argument = take_address(at);
    thread.has_arguments = is_in_call;
    thread.stack_pointer = take_address(at);
}

[[nodiscard]] uint64_t robust_list_of(uint32_t tid) noexcept
{
    uint64_t head = 0;
    size_t bytes = 0;
    return os::call(SYS_get_robust_list, tid, os::word(&head), os::word(&bytes)) < 0 ? 0 : head;
}

void enter(Mailbox& mailbox, uint32_t tid, uint32_t copier_tid, uint64_t copier_stack) noexcept
{
    if (is_own_thread(tid)) return;
    if (mailbox.thread_count == Mailbox::kMostThreads) {
        mailbox.has_all_threads = false;
        return;
    }
    HostThread& thread = mailbox.threads[mailbox.thread_count];
    thread = {};
    thread.tid = tid;
    thread.robust_list = robust_list_of(tid);
    thread.is_copier = tid == copier_tid;
    if (thread.is_copier)
        thread.stack_pointer = copier_stack;
    else if (mailbox.thread_count < kMostLookedAt)
        look_at(thread);
    ++mailbox.thread_count;
}

} // namespace

void look_at_host_threads(Mailbox& mailbox, uint32_t copier_tid, uint64_t copier_stack) noexcept
{
    mailbox.thread_count = 0;
    mailbox.has_all_threads = true;
    const int fd = os::open("/proc/self/task", O_RDONLY | O_DIRECTORY);
    alignas(8) char entries[4096];
    for (;;) {
        const long bytes = fd < 0 ? fd : os::call(SYS_getdents64, fd, os::word(&entries[0]), sizeof entries);
        if (bytes < 0) mailbox.has_all_threads = false;
        if (bytes <= 0) break;
        for (long at = 0; at < bytes;) {
            const auto& entry = *reinterpret_cast<const DirectoryEntry*>(entries + at);
            const char* name = entry.name;
            if (const uint64_t tid = take_number(name); tid != 0)
                enter(mailbox, static_cast<uint32_t>(tid), copier_tid, copier_stack);
            at += entry.bytes;
        }
    }
    if (fd >= 0) os::close(fd);
    // Without /proc there is at least the one that asks.
    if (mailbox.thread_count == 0 && copier_tid != 0) enter(mailbox, copier_tid, copier_tid, copier_stack);
}

void look_again_at_host_threads(Mailbox& mailbox) noexcept
{
    for (uint32_t i = 0; i < mailbox.thread_count; ++i) {
        HostThread& thread = mailbox.threads[i];
        if (thread.is_copier || thread.stack_pointer == 0 || times_run(thread.tid) == thread.times_run) continue;
        thread.stack_pointer = 0;
        thread.has_arguments = false;
    }
}

} // namespace leak::preload
