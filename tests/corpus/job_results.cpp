// job_results [CYCLES]: results wait for the client, who fetches all of them at once some time after load (drained).
#include "parts.hpp"

namespace {

using namespace corpus;

class JobServer {
public:
    [[gnu::noinline]] void run(unsigned number)
    {
        answer(number);
        results_.emplace_back();
    }
    void fetch_all() { results_.clear(); }

private:
    struct Result {
        char text[2000] = {};
    };
    std::list<Result> results_;
};

} // namespace

int main(int argc, char** argv)
{
    const Arguments arguments(argc, argv);
    JobServer server;
    const Timer statistics(50ms, [] { answer(0); });
    Driver driver;
    driver.idle(500ms);
    for (unsigned cycle = 0; cycle < arguments.cycles; ++cycle) {
        driver.load(1200ms, 2000, [&](unsigned number) { server.run(number); });
        driver.idle(600ms);
        server.fetch_all();
        driver.idle(600ms);
    }
    Driver::end();
}
