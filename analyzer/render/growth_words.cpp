#include "analyzer/render/growth_words.hpp"

#include "analyzer/render/stack_text.hpp"
#include "analyzer/render/words.hpp"
#include "analyzer/report/frame_kind.hpp"

#include <algorithm>

namespace leak::analyzer {

namespace {

[[nodiscard]] size_t count_of(const GrowthReport& report, GrowthVerdict verdict)
{
    return static_cast<size_t>(
        std::ranges::count(report.sites, verdict, [](const GrowthSite& site) { return site.growth.verdict; }));
}

// ", most of all by load_image"; of the site that holds most more than before the load, of the heap or mapped. Empty
// where none is known.
[[nodiscard]] std::string by_words(const GrowthReport& report, bool is_mapped)
{
    const auto more = [&](const GrowthSite& site) {
        const SiteGrowth& growth = site.growth;
        if (site.is_mapped != is_mapped) return uint64_t{0};
        return growth.bytes_at_end - std::min(growth.bytes_before, growth.bytes_at_end);
    };
    const auto most = std::ranges::max_element(report.sites, {}, more);
    if (most == report.sites.end() || more(*most) == 0) return "";
    const auto own = std::ranges::find_if(
        most->frames, [&](const Frame& frame) { return !is_library_frame(frame, report.info.exe); });
    if (own == most->frames.end() || own->function.empty()) return "";
    return ", most of all by " + function_text(*own, false);
}

[[nodiscard]] bool has_load_stop(const GrowthReport& report)
{
    return !cycles_of(report.phases).empty();
}

} // namespace

std::string_view name_of(GrowthVerdict verdict)
{
    constexpr std::string_view names[] = {"growing", "ratchet", "climbing", "held", "plateau", "drained"};
    return names[static_cast<size_t>(verdict)];
}

std::string_view name_of(GrowthCause cause)
{
    constexpr std::string_view names[] = {"unknown", "none",      "returned",     "program",
                                          "mapped",  "allocator", "fragmentation"};
    return names[static_cast<size_t>(cause)];
}

std::string_view name_of(PhaseKind kind)
{
    constexpr std::string_view names[] = {"startup", "load", "idle", "exit"};
    return names[static_cast<size_t>(kind)];
}

std::string_view name_of(PhaseSource source)
{
    constexpr std::string_view names[] = {"found", "marks", "options"};
    return names[static_cast<size_t>(source)];
}

std::string growth_sentence(const GrowthReport& report)
{
    struct Phrase {
        GrowthVerdict verdict;
        std::string_view words;
    };
    constexpr Phrase phrases[] = {
        {GrowthVerdict::growing, "kept growing after the load stopped"},
        {GrowthVerdict::ratchet, "left more behind with every load"},
        {GrowthVerdict::climbing, "climbed steadily"},
        {GrowthVerdict::held, "held most of what the load added"},
    };
    std::string said;
    for (const Phrase& phrase : phrases) {
        const size_t count = count_of(report, phrase.verdict);
        if (count == 0) continue;
        said += (said.empty() ? "" : ", ") + plural(count, "stack", "stacks") + " " + std::string(phrase.words);
    }
    const bool is_endless = endless_load(report.phases) != nullptr;
    if (said.empty())
        said = is_endless              ? "nothing climbed steadily"
               : has_load_stop(report) ? "nothing kept growing after the load stopped"
                                       : "";
    if (is_endless)
        return (has_load_stop(report) ? "it ended under load; " : "the load never stopped; during it ") + said;
    return said.empty() ? "no load was found that stopped" : said;
}

std::string growing_words(const GrowthReport& report)
{
    const size_t count = count_of(report, GrowthVerdict::growing);
    return count == 0 ? "" : ", and " + plural(count, "stack", "stacks") + " kept growing after the load stopped";
}

std::string cause_sentence(const GrowthReport& report)
{
    const ProcessGrowth& process = report.process;
    const Layers& before = process.at.front();
    const Layers& end = process.at.back();
    const auto more = [](uint64_t from, uint64_t to) { return bytes_words(to > from ? to - from : 0); };
    const uint64_t rss = end.sample.rss_bytes.value_or(0);
    const std::string rise = before.sample.rss_bytes
                                 ? "RSS is " + more(*before.sample.rss_bytes, rss) + " above where it was"
                                 : "RSS is " + bytes_words(rss) + ", more than before the load,";
    switch (process.cause) {
    case GrowthCause::unknown:
        return "";
    case GrowthCause::none:
        return "RSS did not rise by much.";
    case GrowthCause::returned:
        return "RSS rose to " + bytes_words(process.most_rss_bytes) + " and fell back to " +
               bytes_words(*end.sample.rss_bytes) + ".";
    case GrowthCause::program:
        return rise + " because the program holds " + more(before.live_bytes, end.live_bytes) + " more" +
               by_words(report, false) + ".";
    case GrowthCause::mapped:
        return rise + " because the program has mapped " + more(before.mapped_bytes, end.mapped_bytes) + " more" +
               by_words(report, true) + ".";
    case GrowthCause::allocator:
        if (!end.sample.free_bytes)
            return rise + " though the program holds only " + more(before.live_bytes, end.live_bytes) +
                   " more: its allocator, which is not glibc's and can't be asked, keeps the rest.";
        return rise + " though the program gave back what it had: the allocator keeps " +
               bytes_words(end.sample.free_bytes.value_or(0)) + " free; malloc_trim() would return most of it.";
    case GrowthCause::fragmentation:
        return rise + " though the program gave back what it had: of " +
               bytes_words(end.sample.free_bytes.value_or(0)) +
               " free in the allocator most lies between live blocks, where malloc_trim() returns nothing.";
    }
    return "";
}

} // namespace leak::analyzer
