#include "analyzer/cli/child_process.hpp"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

namespace leak::analyzer {
namespace {

// Ignores the signals a terminal sends to the whole foreground group, and puts the old dispositions back.
class TerminalSignals {
public:
    TerminalSignals()
    {
        struct sigaction ignore{};
        ignore.sa_handler = SIG_IGN;
        for (size_t i = 0; i < kSignals.size(); ++i) {
            sigaction(kSignals[i], &ignore, &old_[i]);
        }
    }
    ~TerminalSignals() { restore(); }
    TerminalSignals(const TerminalSignals&) = delete;
    TerminalSignals& operator=(const TerminalSignals&) = delete;

    // Called in the child too: it must start with what the user gave us.
    void restore() const
    {
        for (size_t i = 0; i < kSignals.size(); ++i) {
            sigaction(kSignals[i], &old_[i], nullptr);
        }
    }

private:
    static constexpr std::array<int, 2> kSignals = {SIGINT, SIGQUIT};
    std::array<struct sigaction, 2> old_{};
};

[[noreturn]] void become(const std::vector<std::string>& command, const Environment& extra, int error_pipe)
{
    for (const auto& [name, value] : extra) {
        setenv(name.c_str(), value.c_str(), 1);
    }
    std::vector<char*> arguments;
    arguments.reserve(command.size() + 1);
    for (const std::string& argument : command) {
        arguments.push_back(const_cast<char*>(argument.c_str())); // execvp doesn't write to them
    }
    arguments.push_back(nullptr);
    execvp(arguments[0], arguments.data());
    const int error = errno;
    const ssize_t ignored = write(error_pipe, &error, sizeof error);
    static_cast<void>(ignored);
    _exit(127);
}

int wait_for(pid_t pid)
{
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {}
    return status;
}

} // namespace

ChildResult run_child(const std::vector<std::string>& command, const Environment& extra)
{
    ChildResult result;
    std::array<int, 2> error_pipe{}; // closed by a successful exec: then nothing is read
    if (pipe2(error_pipe.data(), O_CLOEXEC) != 0) {
        result.start_error = errno;
        return result;
    }
    const TerminalSignals signals;
    result.pid = fork();
    if (result.pid == 0) {
        signals.restore();
        become(command, extra, error_pipe[1]);
    }
    if (result.pid < 0) {
        result.start_error = errno;
    }
    close(error_pipe[1]);
    if (result.pid > 0) {
        while (read(error_pipe[0], &result.start_error, sizeof result.start_error) < 0 && errno == EINTR) {}
        const int status = wait_for(result.pid);
        result.exit_status = WIFEXITED(status) ? WEXITSTATUS(status) : 0;
        result.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    }
    close(error_pipe[0]);
    return result;
}

int end_like(const ChildResult& child)
{
    if (child.signal == 0) {
        return child.exit_status;
    }
    const rlimit no_core = {0, 0};
    setrlimit(RLIMIT_CORE, &no_core);
    std::signal(child.signal, SIG_DFL);
    sigset_t one;
    sigemptyset(&one);
    sigaddset(&one, child.signal);
    sigprocmask(SIG_UNBLOCK, &one, nullptr);
    raise(child.signal);
    return 128 + child.signal;
}

} // namespace leak::analyzer
