// lru_cache [CYCLES]: pages are cached, at most 4 MiB of them; the cache is full after a quarter of the first load and
// exchanges pages from then on (plateau).
#include "parts.hpp"

using namespace corpus;

int main(int argc, char** argv)
{
    const Arguments arguments(argc, argv);
    PageCache cache(1024);
    Driver driver;
    driver.cycles(arguments.cycles, 4000, [&](unsigned number) {
        answer(number);
        cache.first_byte_of(mixed(number) % 20000);
    });
    Driver::end();
}
