// A process that makes others, one way a run: process_forms FORM.
// The parent leaks 71 bytes before and 72 after; the child releases a block of the parent's, leaks 73 bytes, and ends.
#include "host.hpp"

#include <sched.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>

extern char** environ;

namespace {

HOST_FRAME void* leak_before()
{
    return keep(malloc(71));
}
HOST_FRAME void* leak_after()
{
    return keep(malloc(72));
}
HOST_FRAME void* leak_in_child()
{
    return keep(malloc(73));
}
HOST_FRAME void* given_to_child()
{
    return keep(malloc(74));
}
HOST_FRAME void* leak_in_grandchild()
{
    return keep(malloc(75));
}
HOST_FRAME void* leak_after_exec()
{
    return keep(malloc(76));
}
HOST_FRAME void* busy_block()
{
    return keep(malloc(77));
}

void expect_status(pid_t child, int status)
{
    int now = 0;
    HOST_CHECK(child > 0);
    HOST_CHECK(waitpid(child, &now, 0) == child);
    if (!(WIFEXITED(now) && WEXITSTATUS(now) == status)) say("child: %x\n", static_cast<unsigned>(now));
    errno = 0;
    HOST_CHECK(waitpid(-1, &now, WNOHANG) == -1 && errno == ECHILD); // no other children, ever
}

void child_part(void* block)
{
    free(block);
    leak_in_child();
}

const char* self;

int run_form(const char* form, void* block)
{
    const auto is = [form](const char* name) { return strcmp(form, name) == 0; };
    char again[] = "again";
    char* arguments[] = {const_cast<char*>(self), again, nullptr};
    if (is("fork")) {
        const pid_t child = fork();
        if (child == 0) {
            child_part(block);
            exit(21);
        }
        expect_status(child, 21);
    } else if (is("fork_exit")) {
        const pid_t child = fork();
        if (child == 0) {
            child_part(block);
            _exit(21);
        }
        expect_status(child, 21);
    } else if (is("fork_exec")) {
        const pid_t child = fork();
        if (child == 0) {
            execv(self, arguments);
            _exit(1);
        }
        expect_status(child, 22);
    } else if (is("vfork_exec")) {
        const pid_t child = vfork();
        if (child == 0) {
            execve(self, arguments, environ);
            _exit(1);
        }
        expect_status(child, 22);
    } else if (is("vfork_exit")) {
        const pid_t child = vfork();
        if (child == 0) _exit(23);
        expect_status(child, 23);
    } else if (is("posix_spawn")) {
        pid_t child = 0;
        HOST_CHECK(posix_spawn(&child, self, nullptr, nullptr, arguments, environ) == 0);
        expect_status(child, 22);
    } else if (is("system")) {
        char command[4096];
        snprintf(command, sizeof command, "%s again", self);
        const int status = system(command);
        HOST_CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 22);
    } else if (is("popen")) {
        FILE* pipe = popen("echo from the shell", "r");
        HOST_CHECK(pipe != nullptr);
        char line[64] = "";
        HOST_CHECK(fgets(line, sizeof line, pipe) != nullptr);
        say("%s", line);
        HOST_CHECK(pclose(pipe) == 0);
    } else if (is("_Fork")) {
        const pid_t child = _Fork();
        if (child == 0) {
            child_part(block);
            _exit(24);
        }
        expect_status(child, 24);
    } else if (is("clone")) {
        const auto child = static_cast<pid_t>(syscall(SYS_clone, SIGCHLD, nullptr, nullptr, nullptr, nullptr));
        if (child == 0) {
            child_part(block);
            _exit(25);
        }
        expect_status(child, 25);
    } else if (is("grandchild")) {
        const pid_t child = fork();
        if (child == 0) {
            leak_in_child();
            const pid_t grandchild = fork();
            if (grandchild == 0) {
                free(block);
                leak_in_grandchild();
                _exit(27);
            }
            expect_status(grandchild, 27);
            _exit(26);
        }
        expect_status(child, 26);
    } else if (is("daemon")) {
        // The launcher returns at once; the daemon says by the pipe when it is done.
        int ends[2];
        HOST_CHECK(pipe(ends) == 0);
        const pid_t launcher = fork();
        if (launcher == 0) {
            close(ends[0]);
            HOST_CHECK(daemon(0, 0) == 0);
            child_part(block);
            const char done = 'd';
            _exit(write(ends[1], &done, 1) == 1 ? 0 : 1);
        }
        close(ends[1]);
        expect_status(launcher, 0);
        char done = 0;
        HOST_CHECK(read(ends[0], &done, 1) == 1 && done == 'd');
        HOST_CHECK(read(ends[0], &done, 1) == 0); // nobody holds the pipe any more
    } else if (is("busy_fork")) {
        // Enough events in both that buffers are full at the fork and after it.
        for (int i = 0; i < 100000; ++i) free(busy_block());
        const pid_t child = fork();
        if (child == 0) {
            for (int i = 0; i < 100000; ++i) free(busy_block());
            child_part(block);
            exit(28);
        }
        for (int i = 0; i < 100000; ++i) free(busy_block());
        expect_status(child, 28);
    } else {
        return 99;
    }
    return 0;
}

} // namespace

int main(int argc, char** argv)
{
    if (argc == 2 && strcmp(argv[1], "again") == 0) {
        leak_after_exec();
        return 22;
    }
    HOST_CHECK(argc == 2);
    self = argv[0];
    leak_before();
    void* block = given_to_child();
    const int status = run_form(argv[1], block);
    free(block);
    leak_after();
    return status;
}
