#include "analyzer/report/suppressions.hpp"
#include "analyzer/user_error.hpp"
#include "tests/unit/report_helpers.hpp"

#include <doctest/doctest.h>

using namespace leak::analyzer;
using namespace leak::test;

namespace {

const std::string kLibc = "/lib/x86_64-linux-gnu/libc.so.6";
const std::string kLoader = "/lib64/ld-linux-x86-64.so.2";
const std::string kStdcxx = "/lib/x86_64-linux-gnu/libstdc++.so.6";
const std::string kPlugin = "/opt/app/plugin.so";

bool hidden_by(const std::string& rules, const std::vector<Frame>& stack)
{
    Suppressions suppressions(false);
    suppressions.add_text(rules, "rules");
    return suppressions.hides(stack, 1, 10);
}

bool built_in_hides(const std::vector<Frame>& stack, uint64_t blocks = 1)
{
    Suppressions suppressions(true);
    suppressions.look_at(stack, blocks);
    return suppressions.hides(stack, blocks, 10);
}

} // namespace

TEST_CASE("a pattern is found anywhere in the function, file or module of any frame")
{
    const std::vector<Frame> stack = {frame("Session::track", "/src/session.cpp", 8),
                                      frame("main", "/src/main.cpp", 3)};
    CHECK(hidden_by("leak:track", stack));
    CHECK(hidden_by("leak:session.cpp", stack));
    CHECK(hidden_by("leak:/opt/app/", stack));
    CHECK(hidden_by("leak:main", stack));
    CHECK_FALSE(hidden_by("leak:untrack", stack));
}

TEST_CASE("stars stand for anything and anchors hold the ends")
{
    const std::vector<Frame> stack = {frame("Session::track")};
    CHECK(hidden_by("leak:^Session::*", stack));
    CHECK(hidden_by("leak:S*n::t*k$", stack));
    CHECK(hidden_by("leak:^Session::track$", stack));
    CHECK(hidden_by("leak:*", stack));
    CHECK_FALSE(hidden_by("leak:^track", stack));
    CHECK_FALSE(hidden_by("leak:Session$", stack));
    CHECK_FALSE(hidden_by("leak:^Session::trac$", stack));
    CHECK_FALSE(hidden_by("leak:track*Session", stack));
}

TEST_CASE("comments and empty lines are no suppressions")
{
    CHECK_FALSE(hidden_by("# leak:main\n\n  \r\n", {frame("main")}));
    CHECK(hidden_by("# why\r\n  leak:main\r\n", {frame("main")}));
}

TEST_CASE("a malformed line is named with its file and number")
{
    Suppressions suppressions(false);
    try {
        suppressions.add_text("leak:a\nrace:b\n", "my.supp");
        FAIL("a line that is no suppression was taken");
    } catch (const UserError& error) {
        CHECK(std::string(error.what()).starts_with("my.supp: line 2: \"race:b\""));
    }
    CHECK_THROWS_AS(suppressions.add_text("leak:", "my.supp"), UserError);
    CHECK_THROWS_AS(suppressions.add_file("/nonexistent/my.supp"), UserError);
}

TEST_CASE("what rules hid is counted by rule, most bytes first")
{
    Suppressions suppressions(false);
    suppressions.add_text("leak:alpha\nleak:beta\nleak:gamma", "rules");
    CHECK(suppressions.hides({frame("alpha")}, 1, 10));
    CHECK(suppressions.hides({frame("beta")}, 2, 500));
    CHECK(suppressions.hides({frame("alpha")}, 3, 20));
    const auto counts = suppressions.counts();
    REQUIRE(counts.size() == 2);
    CHECK(counts[0].rule == "leak:beta");
    CHECK(counts[1].blocks == 4);
    CHECK(counts[1].bytes == 30);
}

TEST_CASE("the emergency pool of libstdc++ is hidden, with and without its name")
{
    CHECK(built_in_hides({in_module(kStdcxx, ""), in_module(kLoader, "call_init"), in_module(kLoader, "_dl_init")}));
    CHECK(built_in_hides({frame("pool", "/build/libsupc++/eh_alloc.cc", 123), frame("__libc_csu_init")}));
}

TEST_CASE("what the loader allocates for itself is hidden")
{
    CHECK(built_in_hides({in_module(kLoader, "_dl_new_object"), in_module(kLoader, "dl_open_worker"),
                          in_module(kLibc, "dlopen"), frame("load_plugins")}));
}

TEST_CASE("a leak in a static constructor is shown although the loader runs it")
{
    const Frame init = in_module(kLoader, "call_init");
    CHECK_FALSE(built_in_hides({in_module(kPlugin, "_GLOBAL__sub_I_plugin.cpp"), init}));
    CHECK_FALSE(built_in_hides({in_module(kPlugin, ""), init, in_module(kLoader, "dl_open_worker"), frame("main")}));
    CHECK_FALSE(built_in_hides({in_module(kLibc, "strdup"), in_module(kPlugin, ""), init}));
    CHECK_FALSE(built_in_hides({in_module(kStdcxx, "std::string::_M_create"), in_module(kPlugin, ""), init}));
}

TEST_CASE("a few tables of thread-local storage are residue, many are threads that nobody joined")
{
    const std::vector<Frame> stack = {in_module(kLoader, "_dl_allocate_tls"), in_module(kLibc, "allocate_stack"),
                                      in_module(kLibc, "pthread_create"), frame("start_worker")};
    CHECK(built_in_hides(stack, 8));
    CHECK_FALSE(built_in_hides(stack, 1000));
}

TEST_CASE("the buffer of stdout is hidden, that of a leaked stream is not")
{
    const std::vector<Frame> buffer = {in_module(kLibc, "_IO_file_doallocate"), in_module(kLibc, "fwrite"),
                                       frame("write_log")};
    CHECK(built_in_hides(buffer));
    Suppressions suppressions(true);
    suppressions.look_at({in_module(kLibc, "fopen"), frame("open_log")}, 1);
    CHECK_FALSE(suppressions.hides(buffer, 1, 4096));
    CHECK(
        suppressions.hides({in_module(kLibc, "_IO_file_doallocate"), in_module(kLibc, "puts"), frame("main")}, 1, 10));
}

TEST_CASE("what Rust allocates before main is hidden, what main allocates is not")
{
    const std::vector<Frame> below = {frame("std::rt::lang_start_internal"), frame("main")};
    std::vector<Frame> before = {frame("alloc::alloc::alloc"), frame("std::thread::Thread::new")};
    std::vector<Frame> within = {frame("alloc::alloc::alloc"), frame("app::main")};
    before.insert(before.end(), below.begin(), below.end());
    within.insert(within.end(), below.begin(), below.end());
    CHECK(built_in_hides(before));
    CHECK_FALSE(built_in_hides(within));
}
