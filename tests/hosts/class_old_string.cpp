// The std::string of before C++11, which points behind a header: to 24 bytes of length, capacity and references.
#define _GLIBCXX_USE_CXX11_ABI 0
#include "host.hpp"

#include <new>
#include <string>

namespace {

static_assert(sizeof(std::string) == sizeof(void*));
alignas(std::string) char text[sizeof(std::string)];
alignas(std::string) char shared_text[2][sizeof(std::string)];
void* volatile slot;

HOST_FRAME void by_old_string()
{
    keep(new (text) std::string(100, 'x'));
}
HOST_FRAME void by_old_strings_that_share()
{
    keep(new (shared_text[1]) std::string(*new (shared_text[0]) std::string(200, 'x')));
}
// What lies before is not a header.
HOST_FRAME void at_24_bytes()
{
    slot = static_cast<char*>(memset(malloc(300), 0x55, 300)) + 24;
}
HOST_FRAME void by_nothing()
{
    void* volatile place[1];
    keep(new (const_cast<void**>(place)) std::string(400, 'x'));
}

} // namespace

int main()
{
    by_old_string();
    by_old_strings_that_share();
    at_24_bytes();
    by_nothing();
    scrub_stack();
    end_host();
}
