#include "analyzer/render/stack_text.hpp"
#include "tests/unit/report_helpers.hpp"

#include <doctest/doctest.h>
#include <sstream>

using namespace leak::analyzer;
using namespace leak::test;

namespace {

const std::string kLibc = "/lib/x86_64-linux-gnu/libc.so.6";

std::string text_of(const std::vector<Frame>& frames, bool full = false, size_t max_lines = 10)
{
    std::ostringstream out;
    write_stack(out, frames,
                {.paint = Paint(false),
                 .full = full,
                 .exe = "/opt/app/app",
                 .working_directory = "/home/x/app",
                 .indent = "",
                 .max_lines = max_lines});
    return out.str();
}

const std::vector<Frame> kStack = {
    frame("std::__new_allocator<int>::allocate", "/usr/include/c++/12/bits/new_allocator.h", 137),
    frame("std::vector<int>::push_back", "/usr/include/c++/12/bits/stl_vector.h", 1283),
    frame("Session::track", "/home/x/app/src/session.cpp", 88),
    frame("main", "/home/x/app/src/main.cpp", 12),
    in_module(kLibc, "__libc_start_call_main"),
    in_module(kLibc, "__libc_start_main"),
    frame("_start"),
};

} // namespace

TEST_CASE("runs of library frames fold to what the program called, start-up frames go")
{
    CHECK(text_of(kStack) == "via std::vector<int>::push_back  stl_vector.h (2 frames)\n"
                             "Session::track                   src/session.cpp:88\n"
                             "main                             src/main.cpp:12\n");
}

TEST_CASE("of a long run of library frames the one that allocated is shown too, unless it is the runtime's")
{
    const std::string engine = "/usr/lib/libengine.so.1";
    std::vector<Frame> stack = {in_module(kLibc, "strdup"), in_module(engine, "grow")};
    stack.insert(stack.end(), 12, in_module(engine, "step"));
    stack.push_back(in_module(engine, "run"));
    stack.push_back(frame("main", "/home/x/app/main.cpp", 3));
    CHECK(text_of(stack) == "grow     libengine.so.1\n"
                            "via run  libengine.so.1 (13 frames)\n"
                            "main     main.cpp:3\n");
    std::vector<Frame> runtime(12, in_module(kLibc, "step"));
    runtime.push_back(frame("main", "/home/x/app/main.cpp", 3));
    CHECK(text_of(runtime) == "via step  libc.so.6 (12 frames)\nmain      main.cpp:3\n");
}

TEST_CASE("full unfolds everything")
{
    const std::string text = text_of(kStack, true);
    CHECK(text.find("std::__new_allocator<int>::allocate") != std::string::npos);
    CHECK(text.find("/home/x/app/src/session.cpp:88") != std::string::npos);
    CHECK(text.find("_start") != std::string::npos);
}

TEST_CASE("a stack of library frames only is shown from its inner end")
{
    const std::vector<Frame> stack(9, in_module(kLibc, "setlocale"));
    CHECK(text_of(stack).ends_with("... 3 frames more\n"));
    CHECK(text_of({}) == "(no stack)\n");
}

TEST_CASE("deep stacks are cut and say so")
{
    const std::vector<Frame> stack(50, frame("recurse", "/home/x/app/r.cpp", 1));
    CHECK(text_of(stack, false, 4).ends_with("... 46 frames more (--full)\n"));
}

TEST_CASE("a frame without a name is its module and offset")
{
    CHECK(function_text({.module = "/usr/bin/ls", .offset = 0x5f21}, false) == "ls+0x5f21");
    CHECK(function_text({.offset = 0x7f00}, false) == "0x7f00");
    CHECK(function_text({}, false) == "(unknown)");
}

TEST_CASE("a stripped _start below main is recognised by who it calls")
{
    const std::vector<Frame> stack = {{.module = "/opt/app/app", .offset = 0x11c6},
                                      in_module(kLibc, "__libc_start_main"),
                                      {.module = "/opt/app/app", .offset = 0x1421}};
    CHECK(text_of(stack) == "app+0x11c6\n");
}

TEST_CASE("long template arguments are left out from the deepest level on")
{
    CHECK(elide_template_arguments("A<B<C<int>>>::f", 100) == "A<B<C<int>>>::f");
    CHECK(elide_template_arguments("A<B<C<int>>>::f", 9) == "A<...>::f");
    CHECK(elide_template_arguments("operator<< <int>", 3).starts_with("operator<<"));
    CHECK(elide_template_arguments("A<int>::operator->", 3) == "A<...>::operator->");
}
