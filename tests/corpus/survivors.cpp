// survivors MODE: many small blocks, most of which are released together.
//   lines              one line in 500 stays, and keeps the heap between; lines-released: none stays;
//                      lines-kept: nine in ten stay
//   sessions           one session of all stays, at the end of the heap; sessions-renewed: they come and go, all the
//   time
#include "retention_parts.hpp"

namespace {

using namespace corpus;

class Report {
public:
    [[gnu::noinline]] char* add_line()
    {
        constexpr size_t kLineBytes = 1000;
        return static_cast<char*>(std::memset(std::malloc(kLineBytes), 'l', kLineBytes));
    }
};

class Sessions {
public:
    [[gnu::noinline]] char* open()
    {
        constexpr size_t kSessionBytes = 100'000;
        return static_cast<char*>(std::memset(std::malloc(kSessionBytes), 's', kSessionBytes));
    }
};

template <class Make, class Stays> std::vector<char*> make_blocks(unsigned count, Make make, Stays stays)
{
    std::vector<char*> kept;
    std::vector<char*> released;
    for (unsigned i = 0; i < count; ++i) (stays(i) ? kept : released).push_back(make());
    for (char* block : released) std::free(block);
    return kept;
}

} // namespace

int main(int argc, char** argv)
{
    const std::string_view mode = Arguments(argc, argv).mode;
    Driver driver;
    std::vector<char*> kept;
    Report report;
    Sessions sessions;
    if (mode.starts_with("lines"))
        kept = make_blocks(
            40'000, [&] { return report.add_line(); },
            [&](unsigned line) {
                return mode == "lines" ? line % 500 == 499 : mode == "lines-kept" && line % 10 != 0;
            });
    else
        kept = make_blocks(
            400, [&] { return sessions.open(); },
            [&](unsigned session) { return session >= (mode == "sessions" ? 399 : 396); });
    short_load(driver, [&](unsigned number) {
        for (size_t i = number % 10; i < kept.size(); i += 10) ++*kept[i];
        if (mode != "sessions-renewed") return;
        for (int i = 0; i < 20; ++i) {
            std::free(kept.front());
            kept.erase(kept.begin());
            kept.push_back(sessions.open());
        }
    });
    leave();
}
