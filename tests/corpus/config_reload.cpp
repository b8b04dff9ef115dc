// config_reload: a table of 2 MiB is read anew every 0.4 s, under load and at rest, and replaces the one before
// (clean).
#include "parts.hpp"

namespace {

using namespace corpus;

class ConfigTable {
public:
    [[gnu::noinline]] void read()
    {
        std::list<Section> sections(256);
        sections_.swap(sections);
    }

private:
    struct Section {
        char text[8000] = {};
    };
    std::list<Section> sections_;
};

} // namespace

int main()
{
    ConfigTable config;
    config.read();
    const Timer reloading(400ms, [&] { config.read(); });
    Driver driver;
    driver.cycles(1, 4000, answer);
    Driver::end();
}
