#include "analyzer/decode/snapshot.hpp"

#include <algorithm>

namespace leak::analyzer {

using format::SnapshotArea;
using format::SnapshotDecoder;

namespace {

// Calls read(item) for each item of a list.
template <typename Item, typename Read> void read_list(SnapshotDecoder& from, std::vector<Item>& items, Read&& read)
{
    for (uint64_t left = from.get_count(); left > 0 && from.is_sound(); --left) read(items.emplace_back());
}

void read_areas(SnapshotDecoder& from, MemoryImage& image)
{
    uint64_t end = 0;
    read_list(from, image.areas, [&](SnapshotArea& area) {
        area = from.get_area(end);
        end = area.address + area.bytes;
    });
    read_list(from, image.registered_roots, [&](AddressRange& range) {
        range.begin = from.get();
        range.end = range.begin + from.get();
        if (range.end < range.begin) from.refuse();
    });
}

void read_registers(SnapshotDecoder& from, MemoryImage& image)
{
    read_list(from, image.registers, [&](ThreadRegisters& thread) {
        thread.tid = from.get32();
        read_list(from, thread.values, [&](uint64_t& value) { value = from.get(); });
    });
}

void read_words(SnapshotDecoder& from, MemoryImage& image)
{
    format::SnapshotWord word;
    for (const SnapshotArea& area : image.areas) {
        from.begin_words(area);
        while (from.get_word(word)) image.words.push_back(word);
    }
}

[[nodiscard]] format::PageRun read_run(SnapshotDecoder& from, uint64_t& end)
{
    format::PageRun run;
    const uint64_t gap = from.get();
    run.page = end + gap;
    run.pages = from.get();
    if (run.page < gap || run.page + run.pages < run.page) from.refuse();
    end = run.page + run.pages;
    return run;
}

void read_pages(SnapshotDecoder& from, MemoryImage& image)
{
    uint64_t end = 0;
    read_list(from, image.resident, [&](format::PageRun& run) { run = read_run(from, end); });
    end = 0;
    read_list(from, image.unwritten, [&](UnwrittenRun& unwritten) {
        unwritten.run = read_run(from, end);
        unwritten.since = from.get();
    });
}

void read_figures(SnapshotDecoder& from, MemoryImage& image)
{
    const uint64_t count = from.get_count();
    for (uint64_t i = 0; i < count && from.is_sound(); ++i) {
        const uint64_t number = from.get();
        if (i < image.figures.size()) image.figures[i] = number;
    }
    // What follows is a newer version's.
}

} // namespace

const SnapshotArea* MemoryImage::area_at(uint64_t address) const
{
    const auto behind = std::ranges::upper_bound(areas, address, {}, &SnapshotArea::address);
    if (behind == areas.begin()) return nullptr;
    const SnapshotArea& area = *std::prev(behind);
    return address - area.address < area.bytes ? &area : nullptr;
}

std::string_view words_of(format::SnapshotFailure failure)
{
    switch (failure) {
    case format::SnapshotFailure::none:
        break;
    case format::SnapshotFailure::off:
        return "LEAK_SNAPSHOT=off switches them off";
    case format::SnapshotFailure::no_room:
        return "the ring or the disk had no room for it; set a larger LEAK_RING";
    case format::SnapshotFailure::no_memory:
        return "there was no memory, or no process, to be had for a copy of the program; see to its limits";
    case format::SnapshotFailure::killed:
        return "the copy of the program was killed, or took too long";
    case format::SnapshotFailure::stopped:
        return "recording was switched off";
    }
    return "";
}

std::optional<format::StateRef> snapshot_ref(const format::FileHeader& header)
{
    const bool is_known = format::file_header_bytes(header.version_major, header.version_minor) == sizeof header;
    return is_known ? holding_ref(header.snapshots, header.snapshot_index) : std::nullopt;
}

std::optional<MemoryImage> read_snapshot(const FileReader& file, const format::FileHeader& header,
                                         std::vector<StatePart> parts, DamageLog& damage)
{
    const auto reference = snapshot_ref(header);
    if (!reference) return std::nullopt;
    const std::string lost = "it is not known what could still be reached";
    const auto bytes = join_parts(file, *reference, std::move(parts), "the snapshot", lost, damage);
    if (!bytes) return std::nullopt;
    MemoryImage image;
    image.number = reference->number;
    image.stamp = reference->stamp;
    SnapshotDecoder decoder(*bytes);
    read_areas(decoder, image);
    read_registers(decoder, image);
    read_words(decoder, image);
    read_pages(decoder, image);
    read_figures(decoder, image);
    if (decoder.is_sound()) return image;
    damage.add(format::kFileHeaderOffset, "the snapshot is damaged: " + lost);
    return std::nullopt;
}

} // namespace leak::analyzer
