// Allocates below a function that has no call frame information.
#include "host.hpp"

extern "C" void call_without_cfi(void (*function)(int), int argument);

namespace {

HOST_FRAME void inside(int bytes)
{
    keep(malloc(static_cast<size_t>(bytes)));
}

} // namespace

int main()
{
    for (int i = 0; i < 1000; ++i) call_without_cfi(inside, 10);
    keep(malloc(77));
    say("done\n");
    return 0;
}
