// Every form of operator new and operator delete: each new form leaks one block, each delete form releases one.
#include "host.hpp"

#include <new>

namespace {

constexpr std::align_val_t kAlignment{128};

HOST_FRAME void* by_new()
{
    return keep(::operator new(201));
}
HOST_FRAME void* by_new_nothrow()
{
    return keep(::operator new(202, std::nothrow));
}
HOST_FRAME void* by_new_array()
{
    return keep(::operator new[](203));
}
HOST_FRAME void* by_new_array_nothrow()
{
    return keep(::operator new[](204, std::nothrow));
}
HOST_FRAME void* by_new_aligned()
{
    return keep(::operator new(205, kAlignment));
}
HOST_FRAME void* by_new_aligned_nothrow()
{
    return keep(::operator new(206, kAlignment, std::nothrow));
}
HOST_FRAME void* by_new_array_aligned()
{
    return keep(::operator new[](207, kAlignment));
}
HOST_FRAME void* by_new_array_aligned_nothrow()
{
    return keep(::operator new[](208, kAlignment, std::nothrow));
}

bool is_aligned(const void* block)
{
    return reinterpret_cast<uintptr_t>(block) % 128 == 0;
}

HOST_FRAME void failing_forms()
{
    const size_t too_much = opaque(SIZE_MAX / 2 + 4096);
    bool thrown = false;
    try {
        keep(::operator new(too_much));
    } catch (const std::bad_alloc&) {
        thrown = true;
    }
    HOST_CHECK(thrown);
    thrown = false;
    try {
        keep(::operator new[](too_much, kAlignment));
    } catch (const std::bad_alloc&) {
        thrown = true;
    }
    HOST_CHECK(thrown);
    HOST_CHECK(keep(::operator new(too_much, std::nothrow)) == nullptr);
    HOST_CHECK(keep(::operator new[](too_much, std::nothrow)) == nullptr);
    HOST_CHECK(keep(::operator new(too_much, kAlignment, std::nothrow)) == nullptr);
}

int handler_calls = 0;
void new_handler_that_gives_up()
{
    if (++handler_calls == 3) std::set_new_handler(nullptr);
}

HOST_FRAME void new_handler()
{
    std::set_new_handler(new_handler_that_gives_up);
    HOST_CHECK(keep(::operator new(opaque(SIZE_MAX / 2 + 4096), std::nothrow)) == nullptr);
    HOST_CHECK(handler_calls == 3);
}

} // namespace

int main(int argc, char**)
{
    by_new(), by_new_nothrow(), by_new_array(), by_new_array_nothrow();
    HOST_CHECK(is_aligned(by_new_aligned()) && is_aligned(by_new_aligned_nothrow()));
    HOST_CHECK(is_aligned(by_new_array_aligned()) && is_aligned(by_new_array_aligned_nothrow()));

    ::operator delete(by_new());
    ::operator delete(by_new(), size_t{201});
    ::operator delete(by_new_nothrow(), std::nothrow);
    ::operator delete[](by_new_array());
    ::operator delete[](by_new_array(), size_t{203});
    ::operator delete[](by_new_array_nothrow(), std::nothrow);
    ::operator delete(by_new_aligned(), kAlignment);
    ::operator delete(by_new_aligned(), size_t{205}, kAlignment);
    ::operator delete(by_new_aligned_nothrow(), kAlignment, std::nothrow);
    ::operator delete[](by_new_array_aligned(), kAlignment);
    ::operator delete[](by_new_array_aligned(), size_t{207}, kAlignment);
    ::operator delete[](by_new_array_aligned_nothrow(), kAlignment, std::nothrow);
    ::operator delete(keep(nullptr));
    ::operator delete[](keep(nullptr));

    // With an argument: not all allocators fail as the C++ run-time does.
    if (argc == 1) {
        failing_forms();
        new_handler();
    }
    return 0;
}
