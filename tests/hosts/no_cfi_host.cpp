// Allocates below a function that has no call frame information, or none that is loaded.
//   no_cfi_host [NEW OLD]    replaces a file before
#include "host.hpp"

#include <cstdio>

extern "C" void call_without_cfi(void (*function)(int), int argument);

namespace {

HOST_FRAME void inside(int bytes)
{
    keep(malloc(static_cast<size_t>(bytes)));
}

} // namespace

int main(int argc, char** argv)
{
    if (argc == 3 && std::rename(argv[1], argv[2]) != 0) return 1;
    for (int i = 0; i < 1000; ++i) call_without_cfi(inside, 10);
    keep(malloc(77));
    say("done\n");
    return 0;
}
