#include "analyzer/report/allocator_memory.hpp"

#include "analyzer/analysis/heap_pages.hpp"
#include "analyzer/report/frame_kind.hpp"

#include <algorithm>

namespace leak::analyzer {

using format::AreaKind;
using format::SnapshotArea;

namespace {

[[nodiscard]] bool may_lack_blocks(const TraceInfo& info)
{
    return info.sample_bytes != 0 || !info.paused.empty() || info.gap_events != 0 || info.unlisted.blocks != 0 ||
           (info.fork_ns && !info.parent_found);
}

[[nodiscard]] AddressRange pages_around(uint64_t begin, uint64_t end)
{
    return {begin / kPageBytes * kPageBytes, (end + kPageBytes - 1) / kPageBytes * kPageBytes};
}

[[nodiscard]] AddressRange range_of(const SnapshotArea& area)
{
    return {area.address, area.address + area.bytes};
}

void join(std::vector<AddressRange>& ranges)
{
    std::ranges::sort(ranges, {}, &AddressRange::begin);
    std::vector<AddressRange> joined;
    for (const AddressRange& range : ranges) {
        if (joined.empty() || range.begin > joined.back().end)
            joined.push_back(range);
        else
            joined.back().end = std::max(joined.back().end, range.end);
    }
    ranges = std::move(joined);
}

// glibc: the main heap behind the program, heaps of 64 MiB at multiples of that, and large blocks mapped one by one.
void add_glibc_heaps(const MemoryView& memory, uint64_t program_end, std::vector<AddressRange>& ranges)
{
    for (const SnapshotArea& area : memory.image.areas) {
        if (area.kind != AreaKind::anonymous) continue;
        if (is_main_heap(area.address, program_end) || area.address % kHeapBytes == 0) {
            ranges.push_back({area.address, std::min(range_of(area).end, is_main_heap(area.address, program_end)
                                                                             ? UINT64_MAX
                                                                             : area.address + kHeapBytes)});
        }
    }
}

} // namespace

uint64_t end_of_program(const ReplayResult& trace)
{
    for (const Module& module : trace.modules)
        if (module.path == trace.info.exe) return module.end;
    return 0;
}

AllocatorMemory allocator_memory(const ReplayResult& trace)
{
    AllocatorMemory found;
    if (may_lack_blocks(trace.info)) return found;
    std::vector<AddressRange>& ranges = found.ranges;
    const MemoryView& memory = *trace.memory;
    const uint64_t program_end = end_of_program(trace);
    found.is_glibc =
        std::ranges::none_of(trace.modules, [](const Module& module) { return is_allocator_library(module.path); });
    if (found.is_glibc) add_glibc_heaps(memory, program_end, ranges);
    AddressRange last;
    for (const LiveBlock& block : memory.blocks) {
        if (block.kind == format::EventKind::custom_alloc || block.blocks != 1) continue;
        AddressRange range = pages_around(block.address, block.address + block.bytes);
        // A heap that the kernel has joined with memory below it.
        if (found.is_glibc && !is_mapped_alone(block) && !is_main_heap(block.address, program_end)) {
            const SnapshotArea* area = memory.image.area_at(block.address);
            const uint64_t heap = block.address / kHeapBytes * kHeapBytes;
            if (area != nullptr)
                range = {std::max(heap, area->address), std::min(heap + kHeapBytes, range_of(*area).end)};
        }
        if (range != last) ranges.push_back(last = range);
    }
    for (const LiveBlock& mapped : memory.mapped) {
        const Pc innermost = trace.stacks.pc(mapped.stack);
        if (is_allocator_library(trace.modules[innermost.module.value].path))
            ranges.push_back({mapped.address, mapped.address + mapped.bytes});
    }
    join(ranges);
    return found;
}

} // namespace leak::analyzer
