// steady leaks|leaks-slowly|warms-up: load never stops. A cache of 16 MiB fills in the first second and is level from
// then on (not climbing).
//
//   leaks           the trace of one request in forty is forgotten     (climbing)
//   leaks-slowly    that of one in 160                                 (climbing)
//   warms-up        nothing is                                         (clean)
#include "parts.hpp"

#include <climits>

namespace {

using namespace corpus;

class RequestTracer {
public:
    // The caller owns the trace.
    [[gnu::noinline]] static char* trace(const Request& request)
    {
        char* text = new char[4000];
        text[request.line.copy(text, 3999)] = '\0';
        return text;
    }
};

} // namespace

int main(int argc, char** argv)
{
    const Arguments arguments(argc, argv);
    const unsigned forgotten = arguments.mode == "leaks" ? 40 : arguments.mode == "leaks-slowly" ? 160 : UINT_MAX;
    PageCache cache(4096);
    Driver driver;
    driver.idle(300ms);
    driver.load(5000ms, 4000, [&](unsigned number) {
        const char* trace = RequestTracer::trace(answer(number));
        cache.first_byte_of(number);
        if (number % forgotten != 0) delete[] trace;
    });
    Driver::end();
}
