#include "analyzer/analysis/page_use.hpp"

#include <algorithm>

namespace leak::analyzer {

using format::AreaKind;
using format::kSnapshotPageBytes;
using format::PageRun;
using format::SnapshotArea;

namespace {

struct Pages {
    uint64_t begin = 0;
    uint64_t end = 0; // behind the last
};

[[nodiscard]] Pages overlap(Pages pages, const PageRun& run)
{
    return {std::max(pages.begin, run.page), std::min(pages.end, run.page + run.pages)};
}

// Calls visit(entry, pages of its run that are among `pages`) for each of `list`, which is in order of pages.
template <typename List, typename RunOf, typename Visit>
void for_each_overlap(const List& list, RunOf run_of, Pages pages, Visit&& visit)
{
    auto at = std::ranges::upper_bound(list, pages.begin, {}, [&](const auto& one) { return run_of(one).page; });
    if (at != list.begin()) --at;
    for (; at != list.end() && run_of(*at).page < pages.end; ++at)
        if (const Pages common = overlap(pages, run_of(*at)); common.begin < common.end) visit(*at, common);
}

void add_pages(const MemoryView& memory, Pages pages, int64_t since_ns, PageUse& use)
{
    if (pages.begin >= pages.end) return;
    use.pages += pages.end - pages.begin;
    const auto add_touched = [&](const PageRun&, Pages touched) {
        use.touched += touched.end - touched.begin;
        use.touched_end = touched.end * kSnapshotPageBytes;
        for_each_overlap(
            memory.unwritten, [](const UnwrittenPages& one) { return one.run; }, touched,
            [&](const UnwrittenPages& one, Pages unwritten) {
                use.steady += unwritten.end - unwritten.begin;
                if (one.since_ns > since_ns) return;
                use.unwritten += unwritten.end - unwritten.begin;
                use.unwritten_ns = std::max(use.unwritten_ns, one.since_ns);
            });
    };
    const auto itself = [](const PageRun& run) { return run; };
    for_each_overlap(memory.image.resident, itself, pages, add_touched);
    for_each_overlap(memory.image.unknown, itself, pages,
                     [&](const PageRun&, Pages unknown) { use.unknown += unknown.end - unknown.begin; });
}

} // namespace

PageUse page_use(const MemoryView& memory, AddressRange range, int64_t since_ns)
{
    PageUse use;
    const std::vector<SnapshotArea>& areas = memory.image.areas;
    auto area = std::ranges::upper_bound(areas, range.begin, {}, &SnapshotArea::address);
    if (area != areas.begin()) --area;
    uint64_t begin = range.begin; // of a run of areas without a hole
    uint64_t end = range.begin;
    const auto add = [&] {
        add_pages(memory, {(begin + kSnapshotPageBytes - 1) / kSnapshotPageBytes, end / kSnapshotPageBytes}, since_ns,
                  use);
    };
    for (; area != areas.end() && area->address < range.end; ++area) {
        if (area->kind != AreaKind::anonymous || area->address + area->bytes <= range.begin) continue;
        if (area->address > end) {
            add();
            begin = area->address;
        }
        end = std::min(range.end, area->address + area->bytes);
    }
    add();
    return use;
}

} // namespace leak::analyzer
