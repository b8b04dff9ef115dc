// compactor: a background job allocates more than all requests do, all the time, so that load can't be seen; each
// fourth upload is forgotten (held).
#include "parts.hpp"

namespace {

using namespace corpus;

class Upload {
public:
    [[gnu::noinline]] static char* receive(unsigned number)
    {
        char* body = new char[8000];
        body[0] = static_cast<char>(number);
        return body;
    }
};

} // namespace

int main()
{
    const Timer compacting(5ms, [] {
        for (unsigned i = 0; i < 10; ++i) answer(i);
    });
    Driver driver;
    driver.cycles(1, 400, [](unsigned number) {
        const char* body = Upload::receive(number);
        if (number % 4 != 0) delete[] body;
    });
    Driver::end();
}
