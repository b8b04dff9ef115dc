// survivors MODE: many small blocks, most of which are released together.
//   lines              one line in 500 stays, and keeps the heap between; lines-released: none stays;
//                      lines-kept: nine in ten stay
//   sessions           the last of all sessions stays, at the end of the heap; sessions-first: the first
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
        constexpr size_t kSessionBytes = 3000;
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
    if (mode.starts_with("lines")) {
        Report report;
        kept = make_blocks(
            40'000, [&] { return report.add_line(); },
            [&](unsigned line) {
                return mode == "lines" ? line % 500 == 499 : mode == "lines-kept" && line % 10 != 0;
            });
    } else {
        Sessions sessions;
        constexpr unsigned kSessions = 10'000;
        kept = make_blocks(
            kSessions, [&] { return sessions.open(); },
            [&](unsigned session) { return session == (mode == "sessions" ? kSessions - 1 : 0); });
    }
    short_load(driver, [&](unsigned number) {
        for (size_t i = number % 10; i < kept.size(); i += 10) ++*kept[i];
    });
    leave();
}
