// sessions forever|expiry|slow [CYCLES]: every request is a client's first.
//
//   forever   sessions are closed when the server ends             (held; ratchet over several cycles)
//   expiry    those not used for 0.3 s are closed                  (drained)
//   slow      a few at a time while there is nothing else to do: it takes most of the rest after load   (drained)
#include "parts.hpp"

namespace {

using namespace corpus;

class Quiet { // whether there was no request for a while
public:
    void disturb() { last_ = Clock::now(); }
    bool is_quiet() const { return Clock::now() - last_.load() > 100ms; }

private:
    std::atomic<Clock::time_point> last_ = Clock::now();
};

void serve(SessionMap& sessions, const Arguments& arguments)
{
    Quiet quiet;
    Workers<unsigned> pool(4, 64, [&](unsigned number) {
        quiet.disturb();
        answer(number);
        sessions.open(number);
    });
    std::optional<Timer> sweeper;
    if (arguments.mode == "expiry") sweeper.emplace(20ms, [&] { sessions.expire(300ms); });
    if (arguments.mode == "slow")
        sweeper.emplace(20ms, [&] {
            if (quiet.is_quiet()) sessions.expire(0ms, 64);
        });
    Driver driver;
    driver.cycles(arguments.cycles, arguments.mode == "slow" ? 2000 : 4000,
                  [&](unsigned number) { pool.submit(number); });
    Driver::end();
}

} // namespace

int main(int argc, char** argv)
{
    SessionMap sessions;
    serve(sessions, Arguments(argc, argv));
}
