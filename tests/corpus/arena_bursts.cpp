// arena_bursts: four threads make one export of 6 MiB each, in turn, and give it back. malloc was told not to trim, so
// each thread's arena stays as large as its export was (allocator).
#include "parts.hpp"

#include <malloc.h>

namespace {

using namespace corpus;

class Export {
public:
    [[gnu::noinline]] void add_row() { rows_.emplace_back(); }

private:
    struct Row {
        char text[3000] = {};
    };
    std::list<Row> rows_;
};

void make_export()
{
    Export report;
    for (int i = 0; i < 2000; ++i) report.add_row();
}

} // namespace

int main()
{
    mallopt(M_TRIM_THRESHOLD, 256 << 20);
    std::list<Workers<unsigned>> exporters;
    for (int i = 0; i < 4; ++i) exporters.emplace_back(1u, size_t{64}, [](unsigned) { make_export(); });
    Driver driver;
    driver.idle(500ms);
    driver.load(2000ms, 4000, [&, next = exporters.begin()](unsigned number) mutable {
        answer(number);
        if (number % 2000 == 1000) next++->submit(number);
    });
    driver.idle(2000ms);
    Driver::end();
}
