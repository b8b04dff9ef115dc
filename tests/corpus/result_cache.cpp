// result_cache fresh|repeating [CYCLES]: results are kept for good.
//
//   fresh       every fourth request asks for something new             (held; ratchet over several cycles)
//   repeating   each cycle asks for the same 1,000 results              (plateau over several cycles)
#include "parts.hpp"

#include <climits>

namespace {

using namespace corpus;

class ResultCache {
public:
    [[gnu::noinline]] void compute(unsigned question) { results_.try_emplace(question); }

private:
    struct Result {
        char text[2000] = {};
    };
    std::map<unsigned, Result> results_;
};

} // namespace

int main(int argc, char** argv)
{
    const Arguments arguments(argc, argv);
    const unsigned different = arguments.mode == "fresh" ? UINT_MAX : 1000;
    ResultCache cache;
    Driver driver;
    driver.cycles(arguments.cycles, 4000, [&](unsigned number) {
        answer(number);
        cache.compute(number / 4 % different);
    });
    Driver::end();
}
