// http_server bounded|unbounded [CYCLES]: an acceptor that queues requests for a pool of threads.
//
//   bounded     the threads keep up                                                                    (clean)
//   unbounded   they are too slow: the backlog grows as long as there is load, and is worked off after  (drained)
#include "parts.hpp"

namespace {

using namespace corpus;

struct Body {
    char text[2000];
};
using Upload = std::unique_ptr<Body>;

class Acceptor {
public:
    [[gnu::noinline]] static Upload accept(unsigned number)
    {
        answer(number); // "100 Continue"
        auto upload = std::make_unique<Body>();
        upload->text[0] = static_cast<char>(number);
        return upload;
    }
};

class SlowStorage {
public:
    void store(const Upload& upload)
    {
        std::this_thread::sleep_for(1ms);
        stored_ += static_cast<unsigned>(upload->text[0]);
    }

private:
    std::atomic<unsigned> stored_ = 0;
};

void run_bounded(unsigned cycles)
{
    Workers<unsigned> pool(4, 64, [](unsigned number) { answer(number); });
    Driver driver;
    driver.cycles(cycles, 4000, [&](unsigned number) { pool.submit(number); });
    Driver::end();
}

void run_unbounded(unsigned cycles)
{
    SlowStorage storage;
    Workers<Upload> pool(4, Queue<Upload>::kUnbounded, [&](const Upload& upload) { storage.store(upload); });
    Driver driver;
    driver.cycles(cycles, 5000, [&](unsigned number) { pool.submit(Acceptor::accept(number)); });
    Driver::end();
}

} // namespace

int main(int argc, char** argv)
{
    const Arguments arguments(argc, argv);
    if (arguments.mode == "bounded")
        run_bounded(arguments.cycles);
    else
        run_unbounded(arguments.cycles);
}
