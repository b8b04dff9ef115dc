// Where processes, threads and modules begin and end. fork needs no hook: pthread_atfork and the wiped control page see
// every kind of it. dlopen must have none: it looks libraries up by the RUNPATH of its caller, which would be us.
#include "preload/real.hpp"
#include "preload/tracer.hpp"

#include <cstdarg>
#include <cstdlib>
#include <unistd.h>

using namespace leak::preload;
using leak::format::SnapshotReason;

extern char** environ;

namespace {

__attribute__((constructor(101))) void on_load(int, char**, char** environment)
{
    static_cast<void>(real());
    g_tracer.on_load(environment);
}

// What comes back is an error.
template <typename Exec> int replaced(const char* path, Exec exec) noexcept
{
    g_tracer.before_exec(path);
    g_tracer.snapshots.take_here(SnapshotReason::exec);
    const int result = exec();
    g_tracer.after_failed_exec();
    return result;
}

// The arguments of execl and its kin: pointers up to a null pointer.
[[nodiscard]] size_t count_arguments(va_list arguments) noexcept
{
    size_t count = 1;
    while (va_arg(arguments, char*) != nullptr) ++count;
    return count;
}

// Declares argv, an array of `first` and what follows it, and leaves `arguments` behind the null pointer.
#define LEAK_COLLECT_ARGUMENTS(first)                                                          \
    va_list arguments;                                                                         \
    va_start(arguments, first);                                                                \
    const size_t argument_count = count_arguments(arguments);                                  \
    va_end(arguments);                                                                         \
    char** argv = static_cast<char**>(__builtin_alloca((argument_count + 1) * sizeof(char*))); \
    va_start(arguments, first);                                                                \
    argv[0] = const_cast<char*>(first);                                                        \
    for (size_t i = 1; i <= argument_count; ++i) argv[i] = va_arg(arguments, char*)

} // namespace

LEAK_EXPORT int execve(const char* path, char* const argv[], char* const environment[]) noexcept
{
    return replaced(path, [&] { return real().execve(path, argv, environment); });
}

LEAK_EXPORT int execv(const char* path, char* const argv[]) noexcept
{
    return replaced(path, [&] { return real().execv(path, argv); });
}

LEAK_EXPORT int execvp(const char* file, char* const argv[]) noexcept
{
    return replaced(file, [&] { return real().execvp(file, argv); });
}

LEAK_EXPORT int execvpe(const char* file, char* const argv[], char* const environment[]) noexcept
{
    return replaced(file, [&] { return real().execvpe(file, argv, environment); });
}

LEAK_EXPORT int fexecve(int fd, char* const argv[], char* const environment[]) noexcept
{
    return replaced(nullptr, [&] { return real().fexecve(fd, argv, environment); });
}

LEAK_EXPORT int execveat(int fd, const char* path, char* const argv[], char* const environment[], int flags) noexcept
{
    return replaced(path, [&] { return real().execveat(fd, path, argv, environment, flags); });
}

LEAK_EXPORT int execl(const char* path, const char* first, ...) noexcept
{
    LEAK_COLLECT_ARGUMENTS(first);
    va_end(arguments);
    return replaced(path, [&] { return real().execv(path, argv); });
}

LEAK_EXPORT int execlp(const char* file, const char* first, ...) noexcept
{
    LEAK_COLLECT_ARGUMENTS(first);
    va_end(arguments);
    return replaced(file, [&] { return real().execvp(file, argv); });
}

LEAK_EXPORT int execle(const char* path, const char* first, ...) noexcept
{
    LEAK_COLLECT_ARGUMENTS(first);
    char** environment = va_arg(arguments, char**);
    va_end(arguments);
    return replaced(path, [&] { return real().execve(path, argv, environment); });
}

LEAK_EXPORT void _exit(int status)
{
    if (g_tracer.on_fast_exit(status)) g_tracer.snapshots.take_here(SnapshotReason::fast_exit);
    real()._exit(status);
    __builtin_unreachable();
}

LEAK_EXPORT void _Exit(int status) noexcept
{
    if (g_tracer.on_fast_exit(status)) g_tracer.snapshots.take_here(SnapshotReason::fast_exit);
    real()._exit(status);
    __builtin_unreachable();
}

LEAK_EXPORT int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*start)(void*),
                               void* argument) noexcept
{
    const int error = real().pthread_create(thread, attributes, start, argument);
    if (error == 0) g_tracer.on_thread_created();
    return error;
}

LEAK_EXPORT int dlclose(void* library) noexcept
{
    g_tracer.before_dlclose();
    const int result = real().dlclose(library);
    g_tracer.after_dlclose();
    return result;
}
