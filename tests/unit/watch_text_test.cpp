#include "analyzer/render/watch_text.hpp"
#include "tests/unit/report_helpers.hpp"

#include <doctest/doctest.h>

#include <algorithm>

using namespace leak::analyzer;
using namespace leak::test;

namespace {

WatchView some_view()
{
    WatchView view;
    view.info.exe = "/opt/app/app";
    view.info.pid = 4711;
    view.info.working_directory = "/home/x/app";
    view.info.still_running = true;
    view.info.duration_ns = 125'000'000'000;
    view.live_bytes = 3 << 20;
    view.live_blocks = 12'345;
    view.peak_bytes = 4 << 20;
    view.rates = {2'000'000'000, 200'000, 199'000, 20 << 20};
    view.window_ns = 60'000'000'000;
    view.stacks = 7;
    view.top.push_back(
        {2 << 20,
         9'000,
         1 << 20,
         2048,
         {frame("Session::track", "/home/x/app/src/session.cpp", 88),
          frame("Server::serve", "/home/x/app/src/server.cpp", 40),
          frame("Server::work", "/home/x/app/src/server.cpp", 20), frame("main", "/home/x/app/src/main.cpp", 12)}});
    view.top.push_back({512, 1, -512, -51.2, {frame("main", "/home/x/app/src/main.cpp", 9)}});
    return view;
}

std::string joined(const std::vector<std::string>& lines)
{
    std::string text;
    for (const std::string& line : lines) text += line + '\n';
    return text;
}

} // namespace

TEST_CASE("a frame of watch says what is live, how fast it changes, and what grows")
{
    CHECK(joined(watch_lines(some_view(), {})) ==
          "app (pid 4711, 2 min 5 s, still running)\n"
          "live 3.00 MiB in 12,345 blocks, peak 4.00 MiB, gaps none\n"
          "100,000 allocations/s, 99,500 releases/s, 10.0 MiB/s allocated, in the last 2.00 s\n"
          "\n"
          "STACKS by growth  2 of 7, growth over 1 min\n"
          "  +1.00 MiB, of late +2.00 KiB/s  2.00 MiB in 9,000 blocks\n"
          "     Session::track  src/session.cpp:88\n"
          "     Server::serve   src/server.cpp:40\n"
          "     Server::work    src/server.cpp:20\n"
          "  -512 bytes, of late -51 bytes/s  512 bytes in 1 block\n"
          "     main  src/main.cpp:9\n");
}

TEST_CASE("a frame says what is missing, and over what the first rates are")
{
    WatchView view = some_view();
    view.info.gap_events = 3;
    view.info.unlisted.blocks = 20;
    view.is_first = true;
    view.sort = WatchSort::blocks;
    const auto lines = watch_lines(view, {.paint = Paint(), .keys = true});
    CHECK(lines[1] == "live 3.00 MiB in 12,345 blocks, peak 4.00 MiB, gaps 3 events, 20 blocks known by stack alone");
    view.info.sample_bytes = 4096;
    CHECK(watch_lines(view, {})[1].ends_with(", estimated from samples"));
    CHECK(lines[2].ends_with("/s allocated, since the start"));
    CHECK(lines[4] == "STACKS by blocks  2 of 7, growth over 1 min  q quits, s sorts");
}

TEST_CASE("a frame fits its terminal")
{
    WatchView view = some_view();
    for (int i = 0; i < 40; ++i) view.top.push_back(view.top[0]);
    for (size_t height = 1; height < 60; ++height)
        for (const size_t width : {size_t{1}, size_t{20}, size_t{200}}) {
            const auto lines = watch_lines(view, {.paint = Paint(), .width = width, .height = height});
            CHECK(lines.size() <= height);
            CHECK(std::ranges::all_of(lines, [&](const std::string& line) { return line.size() <= width; }));
        }
    CHECK(watch_stacks(24) == 6); // two frames each
    CHECK(watch_stacks(25) == 5); // three
    CHECK(watch_stacks(3) == 0);
    CHECK(watch_stacks(0) == 10);
}

TEST_CASE("what a program is named does not command the terminal")
{
    WatchView view = some_view();
    view.info.exe = "/opt/\033[2Japp";
    view.top[0].frames[0].function = "f\033]0;x\007\n";
    const std::string text = joined(watch_lines(view, {}));
    CHECK(text.find('\033') == std::string::npos);
    CHECK(text.find("f?]0;x??") != std::string::npos);
}

TEST_CASE("text is cut by columns, not by bytes")
{
    CHECK(cut_to_width("abc", 3) == "abc");
    CHECK(cut_to_width("abcd", 3) == "abc");
    CHECK(cut_to_width("1 µs x", 4) == "1 µs");
    CHECK(cut_to_width("\033[1mabcd\033[0m", 2) == "\033[1mab\033[0m");
    CHECK(cut_to_width("\033[1mab\033[0m cd", 3) == "\033[1mab\033[0m ");
    CHECK(cut_to_width("", 3).empty());
}
