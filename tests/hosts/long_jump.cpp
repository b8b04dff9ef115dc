// longjmp over frames that allocated: blocks made afterwards must show the stack that made them, nothing older.
#include "host.hpp"

#include <setjmp.h>

namespace {

jmp_buf back;

HOST_FRAME void* jumped_over(int depth)
{
    if (depth == 0) {
        keep(malloc(31));
        longjmp(back, 1);
    }
    return keep(jumped_over(depth - 1));
}

HOST_FRAME void* after_jump()
{
    return keep(malloc(32));
}
HOST_FRAME void* after_jump_deeper()
{
    return keep(after_jump());
}

HOST_FRAME void jump(int depth)
{
    if (setjmp(back) == 0) jumped_over(depth);
}

} // namespace

int main()
{
    for (int i = 0; i < 100; ++i) {
        jump(i % 30);
        if (i % 2 == 0)
            after_jump();
        else
            after_jump_deeper();
    }
    return 0;
}
