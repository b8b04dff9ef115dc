// timers clean|leaks|leaks-at-rest|alone|leaks-alone: a timer samples metrics all the time, a hundred times a second.
//
//   clean           the last 32 samples are kept                                  (clean)
//   leaks           all are                                                       (growing)
//   leaks-at-rest   keep-alive probes, sent while no requests come, are kept      (growing)
//   alone           as clean, and no request ever comes                           (clean)
#include "parts.hpp"

namespace {

using namespace corpus;

struct Sample {
    char text[4000] = {};
};

class Metrics {
public:
    explicit Metrics(size_t room) : room_(room) {}

    [[gnu::noinline]] void sample()
    {
        samples_.emplace_back();
        if (samples_.size() > room_) samples_.pop_front();
    }

private:
    const size_t room_;
    std::list<Sample> samples_;
};

class KeepAlive {
public:
    void hear() { heard_ = true; }
    void probe_if_quiet()
    {
        if (!heard_.exchange(false)) probe();
    }

private:
    [[gnu::noinline]] void probe() { unanswered_.emplace_back(); }

    std::atomic<bool> heard_ = true;
    std::list<Sample> unanswered_;
};

} // namespace

int main(int argc, char** argv)
{
    const Arguments arguments(argc, argv);
    Metrics metrics(arguments.mode == "leaks" || arguments.mode == "leaks-alone" ? SIZE_MAX : 32);
    KeepAlive keep_alive;
    std::optional<Timer> prober;
    if (arguments.mode == "leaks-at-rest") prober.emplace(10ms, [&] { keep_alive.probe_if_quiet(); });
    const Timer sampler(10ms, [&] { metrics.sample(); });
    Driver driver;
    driver.idle(500ms);
    if (arguments.mode.ends_with("alone")) {
        driver.idle(4000ms);
    } else {
        driver.load(2000ms, 4000, [&](unsigned number) {
            keep_alive.hear();
            answer(number);
        });
        driver.idle(3000ms);
    }
    Driver::end();
}
