// cron: sessions stay open under load (held); afterwards jobs run now and then, each with a burst of allocations that
// it gives back (none).
#include "parts.hpp"

namespace {

using namespace corpus;

class CronJob {
public:
    [[gnu::noinline]] static void run(unsigned number)
    {
        std::list<std::string> lines;
        for (unsigned i = 0; i < 100 + mixed(number) % 1200; ++i) lines.emplace_back(100 + mixed(i) % 1000, '.');
        std::this_thread::sleep_for(5ms);
    }
};

} // namespace

int main()
{
    SessionMap sessions;
    Driver driver;
    driver.idle(500ms);
    driver.load(2000ms, 4000, [&](unsigned number) {
        answer(number);
        sessions.open(number);
    });
    for (unsigned number = 0; number < 14; ++number) {
        driver.idle(milliseconds(80 + mixed(number) % 240));
        CronJob::run(number);
    }
    Driver::end();
}
