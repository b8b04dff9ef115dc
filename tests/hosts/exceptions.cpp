// Exceptions through many frames with allocations on the way: nothing is left, but one exception_ptr that is kept.
#include "host.hpp"

#include <exception>
#include <stdexcept>
#include <string>

namespace {

HOST_FRAME void descend(int depth, int* destroyed)
{
    struct Guard {
        void* block = keep(malloc(60));
        int* destroyed;
        explicit Guard(int* counter) : destroyed(counter) {}
        ~Guard()
        {
            free(block);
            ++*destroyed;
        }
    } guard(destroyed);
    if (depth == 0) throw std::runtime_error("an exception with a text that needs a block of its own");
    descend(depth - 1, destroyed);
    asm volatile("");
}

HOST_FRAME void rethrow(int depth, int* destroyed)
{
    try {
        if (depth == 0) descend(5, destroyed);
        rethrow(depth - 1, destroyed);
    } catch (const std::exception&) {
        throw;
    }
}

HOST_FRAME std::exception_ptr* keep_exception()
{
    try {
        throw std::logic_error("kept");
    } catch (...) {
        return static_cast<std::exception_ptr*>(keep(new std::exception_ptr(std::current_exception())));
    }
}

} // namespace

int main()
{
    int destroyed = 0, caught = 0;
    for (int i = 0; i < 500; ++i) {
        try {
            descend(60, &destroyed);
        } catch (const std::runtime_error&) {
            ++caught;
        }
    }
    for (int i = 0; i < 50; ++i) {
        try {
            rethrow(10, &destroyed);
        } catch (const std::exception&) {
            ++caught;
        }
    }
    keep_exception();
    say("caught %d, destroyed %d\n", caught, destroyed);
    return 0;
}
