// Starts a program and waits for it as a shell would.
//
// One thread; the process must have no others, as it forks.
#pragma once

#include <string>
#include <sys/types.h>
#include <utility>
#include <vector>

namespace leak::analyzer {

struct ChildResult {
    pid_t pid = 0;
    int start_error = 0; // errno of exec; 0: it ran
    int exit_status = 0;
    int signal = 0; // that killed it; 0: it exited
};

using Environment = std::vector<std::pair<std::string, std::string>>;

// `extra` is added to the environment. While the program runs, the terminal's SIGINT and SIGQUIT are for it alone.
[[nodiscard]] ChildResult run_child(const std::vector<std::string>& command, const Environment& extra);

// Ends this process as the child ended: by the same signal (without a second core dump), or returns its exit status.
[[nodiscard]] int end_like(const ChildResult& child);

} // namespace leak::analyzer
