#include "analyzer/render/growth_words.hpp"

#include <doctest/doctest.h>

using namespace leak::analyzer;

namespace {

[[nodiscard]] GrowthSite site(const char* function, uint64_t bytes, bool is_mapped)
{
    GrowthSite one;
    one.growth.bytes_at_end = bytes;
    one.frames.push_back({.function = function, .module = "/app"});
    one.is_mapped = is_mapped;
    return one;
}

[[nodiscard]] Layers layers(uint64_t live, uint64_t mapped, uint64_t rss)
{
    Layers one;
    one.live_bytes = live;
    one.mapped_bytes = mapped;
    one.sample.rss_bytes = rss;
    return one;
}

} // namespace

TEST_CASE("the cause names who holds most of what it speaks of: of the heap, or of what is mapped")
{
    GrowthReport report;
    report.info.exe = "/app";
    report.sites = {site("load_rows", 8 << 20, false), site("map_index", 4 << 20, true)};
    report.process.at = {layers(0, 0, 0), layers(8 << 20, 4 << 20, 12 << 20)};
    report.process.cause = GrowthCause::mapped;
    CHECK(cause_sentence(report).contains("has mapped 4.00 MiB more, most of all by map_index."));
    report.process.cause = GrowthCause::program;
    CHECK(cause_sentence(report).contains("holds 8.00 MiB more, most of all by load_rows."));
    report.sites.pop_back();
    report.process.cause = GrowthCause::mapped;
    CHECK(cause_sentence(report).contains("has mapped 4.00 MiB more."));
}
