// exec keeps the pid: exec_self N runs itself N more times, leaking 90 + N bytes each time.
#include "host.hpp"

namespace {

HOST_FRAME void* leak_then_exec(size_t left)
{
    return keep(malloc(90 + left));
}

} // namespace

int main(int argc, char** argv)
{
    HOST_CHECK(argc == 2);
    const long left = strtol(argv[1], nullptr, 10);
    leak_then_exec(static_cast<size_t>(left));
    if (left == 0) return 6;
    char next[16];
    snprintf(next, sizeof next, "%ld", left - 1);
    execl("/proc/self/exe", argv[0], next, nullptr);
    return 1;
}
