// startup_tables: 11 MiB of tables are filled before there is any load, and kept (clean).
#include "parts.hpp"

namespace {

using namespace corpus;

class PriceTable {
public:
    [[gnu::noinline]] void fill()
    {
        for (unsigned article = 0; article < 30000; ++article) prices_.try_emplace(article);
    }

private:
    struct Price {
        char text[200] = {};
    };
    std::map<unsigned, Price> prices_;
};

class SearchIndex {
public:
    [[gnu::noinline]] void fill() { postings_.assign(1 << 20, 1); }

private:
    std::vector<unsigned> postings_;
};

} // namespace

int main()
{
    PriceTable prices;
    prices.fill();
    SearchIndex index;
    index.fill();
    Driver driver;
    driver.idle(200ms);
    driver.cycles(1, 4000, answer);
    Driver::end();
}
