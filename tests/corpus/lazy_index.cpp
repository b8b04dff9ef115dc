// lazy_index: the first search comes long after load, and builds an index of 4 MiB for good (one step, not growing).
#include "parts.hpp"

namespace {

using namespace corpus;

class SearchIndex {
public:
    [[gnu::noinline]] void build()
    {
        for (int i = 0; i < 512; ++i) shards_.push_back(std::make_unique<Shard>());
    }

private:
    struct Shard {
        char postings[8000] = {};
    };
    std::list<std::unique_ptr<Shard>> shards_;
};

} // namespace

int main()
{
    SearchIndex index;
    const Timer statistics(50ms, [] { answer(0); });
    Driver driver;
    driver.idle(500ms);
    driver.load(2000ms, 4000, answer);
    driver.idle(1200ms);
    index.build();
    driver.idle(1800ms);
    Driver::end();
}
