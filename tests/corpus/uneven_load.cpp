// uneven_load ramp|noise|endless: an audit trail keeps 2 KB for every eighth request (held).
//
//   ramp    load rises for 1 s, is even for 1 s and fades for 1 s
//   noise   the rate changes all the time, by a factor of ten, and at times nothing comes at all
//   endless  as noise, and load never stops     (climbing)
#include "parts.hpp"

#include <algorithm>

namespace {

using namespace corpus;

class AuditTrail {
public:
    [[gnu::noinline]] void record() { entries_.emplace_back(); }

private:
    struct Entry {
        char text[2000] = {};
    };
    std::list<Entry> entries_;
};

double ramp(double part)
{
    return 6000 * std::clamp(3 * std::min(part, 1 - part), 0.0, 1.0);
}

double noise(double part)
{
    const auto step = static_cast<unsigned>(part * 120);
    return step % 13 == 12 ? 0 : 800 + mixed(step) % 7200;
}

} // namespace

int main(int argc, char** argv)
{
    const Arguments arguments(argc, argv);
    AuditTrail trail;
    Driver driver;
    driver.idle(500ms);
    driver.load_shaped(arguments.mode == "endless" ? 5000ms : 3000ms, arguments.mode == "ramp" ? ramp : noise,
                       [&](unsigned number) {
                           answer(number);
                           if (number % 8 == 0) trail.record();
                       });
    if (arguments.mode != "endless") driver.idle(2000ms);
    Driver::end();
}
