// Every system call libleak.so makes, as raw calls: they return -errno and never touch the host's errno, run no libc
// code and are retried where a signal can interrupt them.
//
// Any thread, any hook, any stack with a few hundred bytes left. No allocation.
#pragma once

#include <bit>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <fcntl.h>
#include <linux/futex.h>
#include <span>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#ifndef __x86_64__
#error "libleak.so knows the system calls and registers of x86-64 only"
#endif

namespace leak::preload {

inline constexpr size_t kPageBytes = 4096;

} // namespace leak::preload

namespace leak::preload::os {

inline long call(long number, long a = 0, long b = 0, long c = 0, long d = 0, long e = 0, long f = 0) noexcept
{
    register long r10 asm("r10") = d;
    register long r8 asm("r8") = e;
    register long r9 asm("r9") = f;
    long result = number;
    asm volatile("syscall"
                 : "+a"(result)
                 : "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                 : "rcx", "r11", "memory");
    return result;
}

template <typename T> [[nodiscard]] inline long word(T* pointer) noexcept
{
    return reinterpret_cast<long>(pointer);
}

template <typename Call> inline long retried(Call&& once) noexcept
{
    long result = 0;
    do result = once();
    while (result == -EINTR);
    return result;
}

// -- memory --

// nullptr when there is none. Zeroed; private to the process; not counted against overcommit until touched.
[[nodiscard]] inline void* map_memory(size_t bytes) noexcept
{
    const long result = call(SYS_mmap, 0, static_cast<long>(bytes), PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return result < 0 && result > -4096 ? nullptr : reinterpret_cast<void*>(result);
}
// A shared mapping of a file; nullptr when it fails. place: in the place of this mapping; nullptr: anywhere.
[[nodiscard]] inline void* map_file(int fd, uint64_t offset, size_t bytes, void* place = nullptr) noexcept
{
    const long result = call(SYS_mmap, word(place), static_cast<long>(bytes), PROT_READ | PROT_WRITE,
                             MAP_SHARED | (place == nullptr ? 0 : MAP_FIXED), fd, static_cast<long>(offset));
    return result < 0 && result > -4096 ? nullptr : reinterpret_cast<void*>(result);
}
// Puts private zero pages in the place of a mapping.
inline void replace_mapping(void* at, size_t bytes) noexcept
{
    call(SYS_mmap, word(at), static_cast<long>(bytes), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
         -1, 0);
}
inline void unmap(void* at, size_t bytes) noexcept
{
    call(SYS_munmap, word(at), static_cast<long>(bytes));
}
// What map_memory() gave, larger, perhaps in another place; nullptr: no memory, and it is as it was.
[[nodiscard]] inline void* grow_memory(void* at, size_t bytes, size_t new_bytes) noexcept
{
    const long result =
        call(SYS_mremap, word(at), static_cast<long>(bytes), static_cast<long>(new_bytes), MREMAP_MAYMOVE);
    return result < 0 && result > -4096 ? nullptr : reinterpret_cast<void*>(result);
}
inline long advise(void* at, size_t bytes, int advice) noexcept
{
    return call(SYS_madvise, word(at), static_cast<long>(bytes), advice);
}
// Whether the 8 bytes at an 8-byte boundary can be read. The kernel copies a signal set before it finds that there is
// no such operation.
[[nodiscard]] inline bool can_read(const void* at) noexcept
{
    constexpr long kNoOperation = -1;
    return call(SYS_rt_sigprocmask, kNoOperation, word(at), 0, sizeof(uint64_t)) != -EFAULT;
}
inline void forbid(void* at, size_t bytes) noexcept
{
    call(SYS_mprotect, word(at), static_cast<long>(bytes), PROT_NONE);
}

// -- files --

// A descriptor or -errno. O_CLOEXEC is always added.
inline int open(const char* path, int flags, unsigned mode = 0) noexcept
{
    return static_cast<int>(retried([&] { return call(SYS_openat, AT_FDCWD, word(path), flags | O_CLOEXEC, mode); }));
}
inline void close(int fd) noexcept
{
    call(SYS_close, fd);
}
inline long read(int fd, void* to, size_t bytes) noexcept
{
    return retried([&] { return call(SYS_read, fd, word(to), static_cast<long>(bytes)); });
}
inline long read_at(int fd, void* to, size_t bytes, uint64_t offset) noexcept
{
    return retried(
        [&] { return call(SYS_pread64, fd, word(to), static_cast<long>(bytes), static_cast<long>(offset)); });
}
inline long write(int fd, const void* from, size_t bytes) noexcept
{
    return retried([&] { return call(SYS_write, fd, word(from), static_cast<long>(bytes)); });
}
// What `parts` have, one behind the other; may be fewer bytes.
inline long write_at(int fd, std::span<const struct iovec> parts, uint64_t offset) noexcept
{
    return retried([&] {
        return call(SYS_pwritev, fd, word(parts.data()), static_cast<long>(parts.size()), static_cast<long>(offset), 0);
    });
}
inline long write_at(int fd, const void* from, size_t bytes, uint64_t offset) noexcept
{
    return retried(
        [&] { return call(SYS_pwrite64, fd, word(from), static_cast<long>(bytes), static_cast<long>(offset)); });
}
// Takes the blocks of a range and leaves the file's size as it is.
inline long reserve(int fd, uint64_t offset, uint64_t bytes) noexcept
{
    constexpr long kKeepSize = 1; // FALLOC_FL_KEEP_SIZE
    return retried(
        [&] { return call(SYS_fallocate, fd, kKeepSize, static_cast<long>(offset), static_cast<long>(bytes)); });
}
inline long truncate(int fd, uint64_t bytes) noexcept
{
    return retried([&] { return call(SYS_ftruncate, fd, static_cast<long>(bytes)); });
}
inline long status(int fd, struct stat& result) noexcept
{
    return call(SYS_fstat, fd, word(&result));
}
// What an unprivileged process may still write on the file's disk; the most there is if nobody knows.
[[nodiscard]] inline uint64_t free_bytes(int fd) noexcept
{
    struct statfs status{};
    if (call(SYS_fstatfs, fd, word(&status)) < 0) return UINT64_MAX;
    return static_cast<uint64_t>(status.f_bavail) * static_cast<uint64_t>(status.f_bsize);
}
inline long set_mode(int fd, unsigned mode) noexcept
{
    return call(SYS_fchmod, fd, mode);
}
inline long remove(const char* path) noexcept
{
    return call(SYS_unlink, word(path));
}
// Bytes of the target, not ended by a 0; or -errno.
inline long read_link(const char* path, char* to, size_t bytes) noexcept
{
    return call(SYS_readlink, word(path), word(to), static_cast<long>(bytes));
}
// Up to `bytes` of a small file (of /proc); the number read, or -errno.
inline long read_file(const char* path, char* to, size_t bytes) noexcept
{
    const int fd = open(path, O_RDONLY);
    if (fd < 0) return fd;
    size_t used = 0;
    while (used < bytes) {
        const long got = read(fd, to + used, bytes - used);
        if (got <= 0) break;
        used += static_cast<size_t>(got);
    }
    close(fd);
    return static_cast<long>(used);
}

// -- processes and threads --

[[nodiscard]] inline uint32_t pid() noexcept
{
    return static_cast<uint32_t>(call(SYS_getpid));
}
[[nodiscard]] inline uint32_t parent_pid() noexcept
{
    return static_cast<uint32_t>(call(SYS_getppid));
}
[[nodiscard]] inline uint32_t tid() noexcept
{
    return static_cast<uint32_t>(call(SYS_gettid));
}

// Of a process with one thread.
[[noreturn]] inline void end_process() noexcept
{
    for (;;) call(SYS_exit_group, 0);
}

// How many processors the calling thread may run on.
[[nodiscard]] inline uint32_t processors() noexcept
{
    uint64_t mask[128] = {}; // of 8,192 processors; the kernel refuses a smaller mask than its own
    const long bytes = call(SYS_sched_getaffinity, 0, sizeof mask, word(&mask[0]));
    uint32_t count = 0;
    for (long i = 0; i < bytes / static_cast<long>(sizeof mask[0]); ++i)
        count += static_cast<uint32_t>(std::popcount(mask[i]));
    return count == 0 ? 1 : count;
}

// Whether a thread of this process is still there.
[[nodiscard]] inline bool thread_exists(uint32_t process, uint32_t thread) noexcept
{
    return call(SYS_tgkill, process, thread, 0) != -ESRCH;
}
// The name of the calling thread: 15 bytes and a 0.
inline void thread_name(char (&name)[16]) noexcept
{
    name[0] = 0;
    call(SYS_prctl, PR_GET_NAME, word(&name[0]));
    name[15] = 0;
}
// resource: RLIMIT_...
[[nodiscard]] inline uint64_t soft_limit(int resource) noexcept
{
    struct rlimit limit{};
    return call(SYS_prlimit64, 0, resource, 0, word(&limit)) < 0 ? RLIM_INFINITY : limit.rlim_cur;
}

// Sleeps while *word == expected, at most `milliseconds`; wakes for no reason, too.
inline void futex_wait(const uint32_t* word_at, uint32_t expected, long milliseconds) noexcept
{
    const struct timespec limit{milliseconds / 1000, milliseconds % 1000 * 1'000'000};
    call(SYS_futex, word(word_at), FUTEX_WAIT | FUTEX_PRIVATE_FLAG, expected, word(&limit));
}
inline void futex_wake(const uint32_t* word_at, int threads) noexcept
{
    call(SYS_futex, word(word_at), FUTEX_WAKE | FUTEX_PRIVATE_FLAG, threads);
}

// The same for words in memory that processes share. -EFAULT: the file that it is of was cut.
inline long shared_futex_wait(const uint32_t* word_at, uint32_t expected, long milliseconds) noexcept
{
    const struct timespec limit{milliseconds / 1000, milliseconds % 1000 * 1'000'000};
    return call(SYS_futex, word(word_at), FUTEX_WAIT, expected, word(&limit));
}
inline void shared_futex_wake(const uint32_t* word_at, int threads) noexcept
{
    call(SYS_futex, word(word_at), FUTEX_WAKE, threads);
}

[[nodiscard]] constexpr uint64_t signal_set(int signal) noexcept
{
    return uint64_t{1} << (signal - 1);
}

// Of the calling thread.
inline void block_signal(int signal) noexcept
{
    constexpr long kBlock = 0; // SIG_BLOCK
    const uint64_t set = signal_set(signal);
    call(SYS_rt_sigprocmask, kBlock, word(&set), 0, sizeof set);
}
inline void allow_signal(int signal) noexcept
{
    constexpr long kUnblock = 1; // SIG_UNBLOCK
    const uint64_t set = signal_set(signal);
    call(SYS_rt_sigprocmask, kUnblock, word(&set), 0, sizeof set);
}

// Blocks all signals of the calling thread, but those in `open`, for its lifetime.
class SignalsBlocked {
public:
    explicit SignalsBlocked(uint64_t open = 0) noexcept
    {
        constexpr long kBlock = 0; // SIG_BLOCK
        const uint64_t all = ~open;
        call(SYS_rt_sigprocmask, kBlock, word(&all), word(&before_), sizeof all);
    }
    ~SignalsBlocked()
    {
        constexpr long kSetMask = 2;
        call(SYS_rt_sigprocmask, kSetMask, word(&before_), 0, sizeof before_);
    }
    SignalsBlocked(const SignalsBlocked&) = delete;
    SignalsBlocked& operator=(const SignalsBlocked&) = delete;

private:
    uint64_t before_ = 0;
};

inline void sleep_ms(long milliseconds) noexcept
{
    const struct timespec time{milliseconds / 1000, milliseconds % 1000 * 1'000'000};
    call(SYS_nanosleep, word(&time));
}
[[nodiscard]] inline uint64_t clock_ns(clockid_t clock) noexcept
{
    struct timespec now{};
    call(SYS_clock_gettime, clock, word(&now));
    return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000u + static_cast<uint64_t>(now.tv_nsec);
}

} // namespace leak::preload::os
