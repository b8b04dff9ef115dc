#include "analyzer/report/leak_diff.hpp"

#include "analyzer/report/frame_kind.hpp"

#include <algorithm>
#include <cstdlib>
#include <map>
#include <tuple>

namespace leak::analyzer {
namespace {

// What two builds have in common of a module: "libfoo.so" of libfoo.so.1.2; the program itself whatever it is called.
std::string module_key(const std::string& module, const std::string& exe)
{
    if (module == exe) {
        return "\1";
    }
    std::string_view name = base_name(module);
    const size_t version = name.find(".so.");
    return std::string(version == std::string_view::npos ? name : name.substr(0, version + 3));
}

std::string site_key(const Site& site, const std::string& exe, bool with_lines)
{
    std::string key;
    if (site.frames.empty() || site.frames.front().function.empty()) {
        key = site.frames.empty() ? site.label : std::string(); // threads (without their tids) and sizes
        const size_t tid = key.find(" (tid ");
        key.resize(tid == std::string::npos ? key.size() : tid);
    }
    for (const Frame& frame : site.frames) {
        key += '\n' + module_key(frame.module, exe) + '\0';
        // Without a name only the offset tells; it is the same only for the same build.
        key += frame.function.empty() && frame.offset != 0 ? std::to_string(frame.offset) : frame.function;
        key += '\0' + std::string(base_name(frame.file));
        key += with_lines ? ':' + std::to_string(frame.line) : std::string();
    }
    return key;
}

struct Pair {
    const Site* before = nullptr;
    const Site* after = nullptr;
};

// Sites that several stacks of one trace fall into (they differ in directory or module version) are added up.
using Sites = std::map<std::string, std::vector<Pair>>;

void put(Sites& sites, const LeakReport& report, bool after)
{
    for (const Site& site : report.unfreed.sites) {
        sites[site_key(site, report.info.exe, true)].push_back(after ? Pair{nullptr, &site} : Pair{&site, nullptr});
    }
}

DiffSite merged(const std::vector<Pair>& pairs)
{
    DiffSite diff;
    for (const auto& [before, after] : pairs) {
        if (before != nullptr) {
            diff.blocks_before += before->blocks;
            diff.bytes_before += before->bytes;
        }
        if (after != nullptr) {
            diff.blocks_after += after->blocks;
            diff.bytes_after += after->bytes;
        }
        const Site* shown = after != nullptr ? after : diff.frames.empty() && diff.label.empty() ? before : nullptr;
        if (shown != nullptr) {
            diff.frames = shown->frames;
            diff.label = shown->label;
        }
    }
    return diff;
}

bool one_sided(const std::vector<Pair>& pairs)
{
    const auto has_before = [](const Pair& pair) { return pair.before != nullptr; };
    return std::ranges::all_of(pairs, has_before) || std::ranges::none_of(pairs, has_before);
}

std::vector<uint32_t> lines_of(const Sites::iterator& place)
{
    const Pair& pair = place->second.front();
    const auto& frames = (pair.after != nullptr ? pair.after : pair.before)->frames;
    std::vector<uint32_t> lines;
    lines.reserve(frames.size());
    for (const Frame& frame : frames) lines.push_back(frame.line);
    return lines;
}

struct Leftovers {
    std::vector<Sites::iterator> before;
    std::vector<Sites::iterator> after;
};

// Edited files shift their lines and seldom reorder them: leftovers that agree on everything but lines, equally many on
// each side, are paired in the order of their lines.
void join_shifted_lines(Sites& sites, const LeakReport& before, const LeakReport& after)
{
    std::map<std::string, Leftovers> leftovers;
    for (auto at = sites.begin(); at != sites.end(); ++at) {
        const Pair& pair = at->second.front();
        if (one_sided(at->second) && pair.after != nullptr) {
            leftovers[site_key(*pair.after, after.info.exe, false)].after.push_back(at);
        } else if (one_sided(at->second)) {
            leftovers[site_key(*pair.before, before.info.exe, false)].before.push_back(at);
        }
    }
    for (auto& [key, group] : leftovers) {
        if (group.before.size() != group.after.size()) {
            continue;
        }
        std::ranges::sort(group.before, {}, lines_of);
        std::ranges::sort(group.after, {}, lines_of);
        for (size_t i = 0; i < group.before.size(); ++i) {
            auto& joined = group.before[i]->second;
            joined.insert(joined.end(), group.after[i]->second.begin(), group.after[i]->second.end());
            sites.erase(group.after[i]);
        }
    }
}

SiteStatus status_of(const DiffSite& site)
{
    if (site.blocks_before == 0) {
        return SiteStatus::added;
    }
    if (site.blocks_after == 0) {
        return SiteStatus::gone;
    }
    const auto change = std::pair(site.bytes_change(), site.blocks_change());
    return change > std::pair<int64_t, int64_t>()    ? SiteStatus::grown
           : change == std::pair<int64_t, int64_t>() ? SiteStatus::same
                                                     : SiteStatus::shrunk;
}

} // namespace

std::string_view name_of(SiteStatus status)
{
    constexpr std::string_view names[] = {"new", "gone", "grown", "shrunk", "same"};
    return names[static_cast<size_t>(status)];
}

LeakDiff make_leak_diff(LeakReport before, LeakReport after, const SiteOptions& options)
{
    LeakDiff diff{std::move(before), std::move(after), {}};
    Sites sites;
    put(sites, diff.before, false);
    put(sites, diff.after, true);
    join_shifted_lines(sites, diff.before, diff.after);
    for (const auto& [key, pairs] : sites) {
        DiffSite site = merged(pairs);
        site.status = status_of(site);
        if (static_cast<uint64_t>(std::abs(site.bytes_change())) >= options.min_bytes) {
            diff.sites.push_back(std::move(site));
        }
    }
    std::ranges::stable_sort(diff.sites, std::greater{}, [&](const DiffSite& site) {
        const int64_t bytes = std::abs(site.bytes_change());
        const int64_t blocks = std::abs(site.blocks_change());
        const bool changed = site.status != SiteStatus::same;
        const uint64_t size = std::max(site.bytes_before, site.bytes_after);
        return options.sort == SortBy::blocks ? std::tuple(changed, blocks, bytes, size)
                                              : std::tuple(changed, bytes, blocks, size);
    });
    return diff;
}

} // namespace leak::analyzer
