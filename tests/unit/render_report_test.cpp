#include "analyzer/render/report_json.hpp"
#include "analyzer/render/report_text.hpp"
#include "tests/unit/report_helpers.hpp"

#include <doctest/doctest.h>
#include <sstream>

using namespace leak::analyzer;
using namespace leak::test;

namespace {

std::string text_of(const LeakReport& report)
{
    std::ostringstream out;
    write_report_text(out, report, {});
    return out.str();
}

std::vector<std::string> keys_of(const Json& json)
{
    std::vector<std::string> keys;
    for (const auto& [key, value] : json.items()) {
        keys.push_back(key);
    }
    return keys;
}

void check_has(const Json& json, const std::vector<std::string>& keys)
{
    for (const std::string& key : keys) {
        CAPTURE(key);
        CHECK(json.contains(key));
    }
}

const Site kSite = site(3, 3000, {frame("Session::track", "/home/x/app/session.cpp", 88)});

} // namespace

TEST_CASE("a program without findings gets a sentence too")
{
    const std::string text = text_of(report_of({}));
    CHECK(text.starts_with("app (pid 4711, 2.50 s, exited with status 0): nothing stays behind.\n"));
    CHECK(text.find("UNFREED") == std::string::npos);
}

TEST_CASE("the verdict names bytes, blocks and stacks")
{
    const std::string text = text_of(report_of({kSite}));
    CHECK(text.starts_with(
        "app (pid 4711, 2.50 s, exited with status 0) leaks: 2.93 KiB in 3 blocks unfreed, from 1 stack.\n"));
    CHECK(text.find("Session::track  session.cpp:88") != std::string::npos);
}

TEST_CASE("a killed or running process is not said to leak")
{
    LeakReport report = report_of({kSite});
    report.info.end_state = leak::format::EndState::open;
    CHECK(text_of(report).find("leaks") == std::string::npos);
    CHECK(text_of(report).starts_with("app (pid 4711, 2.50 s, killed or crashed) holds 2.93 KiB"));
    report.info.still_running = true;
    CHECK(text_of(report).starts_with("app (pid 4711, 2.50 s, still running) holds 2.93 KiB"));
}

TEST_CASE("whatever limits the answer is said")
{
    LeakReport report = report_of({kSite});
    report.info.gap_events = 12;
    report.info.loss_cause = leak::format::LossCause::no_space;
    report.info.damage = {{4096, "chunk checksum is wrong", 7}};
    report.info.paused = {{1'000'000'000, 2'000'000'000}};
    report.info.parent_trace_path = "/tmp/parent.zst";
    report.unfreed.truncated_blocks = 2;
    report.missing_symbols = {{"/opt/app/app", {.build_id_differs = true, .debug_file = {}}}};
    report.suppressed = {{"libstdc++ start-up", true, 1, 72'704}};
    report.suppressed_blocks = 1;
    report.suppressed_bytes = 72'704;
    const std::string text = text_of(report);
    for (const char* part : {"12 events are missing because the file could not grow", "offset 4,096",
                             "chunk checksum is wrong (7 events lost)", "from 1.00 s to 2.00 s", "/tmp/parent.zst",
                             "2 blocks have stacks that were cut", "another build",
                             "Hidden: 1 block, 71.0 KiB (libstdc++ start-up 71.0 KiB)"}) {
        CAPTURE(part);
        CHECK(text.find(part) != std::string::npos);
    }
}

TEST_CASE("the keys of leakan.report.v1 are there")
{
    const Json json = report_json(report_of({kSite}));
    CHECK(json["schema"] == "leakan.report.v1");
    check_has(json, {"trace", "summary", "unfreed"});
    check_has(json["trace"], {"path", "pid", "exe", "args", "start_unix_ns", "duration_ns", "complete", "gap_events"});
    check_has(json["summary"], {"allocations", "releases", "allocated_bytes", "unfreed_blocks", "unfreed_bytes",
                                "peak_bytes", "peak_ns", "temporary_allocations", "unmatched_releases", "mismatches",
                                "threads", "stacks", "suppressed_blocks", "suppressed_bytes"});
    REQUIRE(json["unfreed"].size() == 1);
    const Json& entry = json["unfreed"][0];
    check_has(entry, {"blocks", "bytes", "first_ns", "last_ns", "kinds", "threads", "stack"});
    CHECK(entry["kinds"] == Json{"malloc"});
    CHECK(entry["threads"] == Json{4711});
    CHECK(keys_of(entry["stack"][0]) ==
          std::vector<std::string>{"function", "file", "line", "module", "offset", "inlined"});
}

TEST_CASE("the summary in JSON counts all sites, shown or not")
{
    const Json json = report_json(report_of({kSite, kSite}), 1);
    CHECK(json["unfreed"].size() == 1);
    CHECK(json["summary"]["unfreed_blocks"] == 6);
}

TEST_CASE("names that are no UTF-8 do not break the JSON")
{
    LeakReport report = report_of({});
    report.info.args = {"\xff\xfe"};
    std::ostringstream out;
    write_json(out, report_json(report));
    CHECK(Json::parse(out.str())["trace"]["pid"] == 4711);
}
