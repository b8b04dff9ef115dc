#include "analyzer/render/diff_json.hpp"
#include "analyzer/render/diff_text.hpp"
#include "analyzer/report/leak_diff.hpp"
#include "tests/unit/report_helpers.hpp"

#include <doctest/doctest.h>
#include <limits>
#include <sstream>

using namespace leak::analyzer;
using namespace leak::test;

namespace {

Site at_line(uint32_t line, uint64_t blocks, uint64_t bytes, const std::string& function = "f")
{
    return site(blocks, bytes, {frame(function, "/src/f.cpp", line), frame("main", "/src/main.cpp", 1)});
}

LeakDiff diff_of(const std::vector<Site>& before, const std::vector<Site>& after)
{
    return make_leak_diff(report_of(before), report_of(after), {});
}

} // namespace

TEST_CASE("sites are new, gone, grown, shrunk or the same")
{
    const LeakDiff diff = diff_of({at_line(1, 1, 10, "gone"), at_line(1, 1, 20, "grown"), at_line(1, 9, 90, "shrunk"),
                                   at_line(1, 5, 50, "same"), at_line(1, 5, 50, "more blocks")},
                                  {at_line(1, 1, 11, "new"), at_line(1, 4, 80, "grown"), at_line(1, 8, 80, "shrunk"),
                                   at_line(1, 5, 50, "same"), at_line(1, 6, 50, "more blocks")});
    REQUIRE(diff.sites.size() == 6);
    CHECK(diff.sites.front().frames[0].function == "grown"); // the largest change
    CHECK(diff.sites.back().status == SiteStatus::same);
    for (const DiffSite& changed : diff.sites) {
        const std::string name = changed.frames[0].function;
        CAPTURE(name);
        CHECK(name_of(changed.status) == (name == "more blocks" ? "grown" : name));
    }
}

TEST_CASE("directories, build-ids, offsets and the program's name play no part")
{
    LeakReport before = report_of({site(1, 10, {frame("f", "/old/f.cpp", 3, "/old/app-v1")})});
    before.info.exe = "/old/app-v1";
    LeakReport after = report_of({site(1, 10, {frame("f", "/new/f.cpp", 3, "/new/app-v2")})});
    after.info.exe = "/new/app-v2";
    after.unfreed.sites[0].frames[0].offset = 77;
    const LeakDiff diff = make_leak_diff(before, after, {});
    REQUIRE(diff.sites.size() == 1);
    CHECK(diff.sites[0].status == SiteStatus::same);
}

TEST_CASE("a library is the same in another version")
{
    const LeakDiff diff = diff_of({site(1, 10, {in_module("/usr/lib/libfoo.so.1.2", "f")})},
                                  {site(1, 10, {in_module("/usr/lib/libfoo.so.1.3", "f")})});
    CHECK(diff.sites.size() == 1);
}

TEST_CASE("a site whose lines moved is paired with the one left on the other side")
{
    const LeakDiff diff = diff_of({at_line(10, 1, 100)}, {at_line(14, 3, 300)});
    REQUIRE(diff.sites.size() == 1);
    CHECK(diff.sites[0].status == SiteStatus::grown);
    CHECK(diff.sites[0].frames[0].line == 14);
}

TEST_CASE("equally many moved sites are paired in the order of their lines")
{
    const LeakDiff diff =
        diff_of({at_line(9, 1, 100), at_line(20, 2, 200)}, {at_line(24, 2, 200), at_line(13, 1, 100)});
    REQUIRE(diff.sites.size() == 2);
    CHECK(diff.sites[0].status == SiteStatus::same);
    CHECK(diff.sites[1].status == SiteStatus::same);
}

TEST_CASE("moved sites of which one side has more are not paired")
{
    const LeakDiff diff = diff_of({at_line(10, 1, 100), at_line(20, 1, 100)}, {at_line(14, 3, 300)});
    CHECK(diff.sites.size() == 3);
}

TEST_CASE("exact lines are paired before moved ones")
{
    const LeakDiff diff =
        diff_of({at_line(10, 1, 100), at_line(20, 1, 100)}, {at_line(10, 1, 100), at_line(24, 1, 100)});
    CHECK(diff.sites.size() == 2);
    for (const DiffSite& paired : diff.sites) {
        CHECK(paired.status == SiteStatus::same);
    }
}

TEST_CASE("the text says what changed and hides what did not")
{
    std::ostringstream out;
    write_diff_text(out, diff_of({at_line(1, 5, 50)}, {at_line(1, 5, 50), at_line(1, 1, 2048, "g")}), {});
    CHECK(out.str().starts_with("2.05 KiB unfreed, 2.00 KiB more than before: 1 new.\n"));
    CHECK(out.str().find("new     +2.00 KiB  +1 block") != std::string::npos);
    CHECK(out.str().find("1 place is as before") != std::string::npos);
}

TEST_CASE("the keys of leakan.diff.v1 are there")
{
    const Json json = diff_json(diff_of({at_line(1, 5, 50)}, {at_line(1, 6, 60)}), std::numeric_limits<size_t>::max());
    CHECK(json["schema"] == "leakan.diff.v1");
    CHECK(json["before"]["unfreed_bytes"] == 50);
    CHECK(json["after"]["trace"]["pid"] == 4711);
    REQUIRE(json["sites"].size() == 1);
    const Json& changed = json["sites"][0];
    CHECK(changed["status"] == "grown");
    CHECK(changed["blocks_before"] == 5);
    CHECK(changed["blocks_after"] == 6);
    CHECK(changed["bytes_before"] == 50);
    CHECK(changed["bytes_after"] == 60);
    CHECK(changed["stack"].size() == 2);
}
