// background_leak [CYCLES]: an indexer keeps 2 KB two hundred times a second, whether there is load or not (growing).
#include "parts.hpp"

namespace {

using namespace corpus;

class Indexer {
public:
    [[gnu::noinline]] void add_postings() { postings_.emplace_back(); }

private:
    struct Postings {
        unsigned articles[500] = {};
    };
    std::list<Postings> postings_;
};

} // namespace

int main(int argc, char** argv)
{
    const Arguments arguments(argc, argv);
    Indexer indexer;
    const Timer indexing(5ms, [&] { indexer.add_postings(); });
    Driver driver;
    driver.cycles(arguments.cycles, 4000, answer);
    Driver::end();
}
