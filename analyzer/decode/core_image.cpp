#include "analyzer/decode/core_image.hpp"

#include "format/range_set.hpp"

#include <algorithm>
#include <chrono>

namespace leak::analyzer {

using format::AreaKind;
using format::PageRun;
using format::SnapshotArea;

namespace {

constexpr uint64_t kWord = sizeof(uint64_t);
constexpr uint64_t kPage = format::kSnapshotPageBytes;
constexpr size_t kBufferPages = 256;

void add_page(std::vector<PageRun>& runs, uint64_t page)
{
    if (!runs.empty() && runs.back().page + runs.back().pages == page)
        ++runs.back().pages;
    else
        runs.push_back({page, 1});
}

[[nodiscard]] std::vector<PageRun> joined(std::vector<PageRun> runs, const std::vector<PageRun>& others)
{
    runs.insert(runs.end(), others.begin(), others.end());
    std::ranges::sort(runs, {}, &PageRun::page);
    std::vector<PageRun> result;
    for (const PageRun& run : runs) {
        if (!result.empty() && result.back().page + result.back().pages >= run.page)
            result.back().pages = std::max(result.back().pages, run.page + run.pages - result.back().page);
        else
            result.push_back(run);
    }
    return result;
}

class Reader {
public:
    Reader(const CoreFile& core, const CoreAreas& areas) : core_(core)
    {
        for (const SnapshotArea& area : areas.areas)
            if (has_words(area.kind)) bytes_ += area.bytes;
    }

    [[nodiscard]] MemoryImage run(CoreAreas areas, std::span<const AddressRange> blocks,
                                  const std::function<void(double)>& on_progress)
    {
        const auto begin = std::chrono::steady_clock::now();
        fill_filter(areas, blocks);
        image_.areas = std::move(areas.areas);
        add_registers(areas.threads);
        uint64_t done = 0;
        for (const SnapshotArea& area : image_.areas) {
            if (!has_words(area.kind)) continue;
            for (uint64_t at = area.address, end = area.address + area.bytes; at < end;) {
                const uint64_t next = std::min(end, (at / kPage + kBufferPages) * kPage);
                read_words(area, at, next);
                done += next - at;
                at = next;
                if (on_progress) on_progress(static_cast<double>(done) / static_cast<double>(bytes_));
            }
        }
        judge_pages();
        for (const CoreSegment& segment : core_.segments) skipped_bytes_ += segment.missing;
        const std::chrono::nanoseconds taken = std::chrono::steady_clock::now() - begin;
        set(format::SnapshotFigure::scan_ns, static_cast<uint64_t>(taken.count()));
        set(format::SnapshotFigure::scanned_bytes, scanned_bytes_);
        set(format::SnapshotFigure::skipped_bytes, skipped_bytes_);
        set(format::SnapshotFigure::threads, areas.threads.size());
        set(format::SnapshotFigure::threads_without_stack, areas.threads_without_stack);
        return std::move(image_);
    }

private:
    void set(format::SnapshotFigure which, uint64_t value) { image_.figures[static_cast<size_t>(which)] = value; }

    void fill_filter(const CoreAreas& areas, std::span<const AddressRange> blocks)
    {
        std::vector<AddressRange> targets = areas.unseen;
        for (const SnapshotArea& area : areas.areas)
            if (is_target(area.kind)) targets.push_back({area.address, area.address + area.bytes});
        targets.insert(targets.end(), blocks.begin(), blocks.end());
        std::ranges::sort(targets, {}, &AddressRange::begin);
        AddressRange last;
        for (const AddressRange& one : targets) {
            if (one.begin <= last.end) {
                last.end = std::max(last.end, one.end);
                continue;
            }
            if (last.begin < last.end) targets_.add(last.begin, last.end);
            last = one;
        }
        if (last.begin < last.end) targets_.add(last.begin, last.end);
    }

    void add_registers(const std::vector<const CoreThread*>& threads)
    {
        for (const CoreThread* const thread : threads) {
            ThreadRegisters kept{.tid = thread->tid, .values = {}};
            for (const auto* words : {&thread->registers, &thread->extensions})
                for (const uint64_t value : *words)
                    if (targets_.contains(value)) kept.values.push_back(value);
            image_.registers.push_back(std::move(kept));
        }
    }

    // Of at most a buffer's worth of an area, which lies within one segment.
    void read_words(const SnapshotArea& area, uint64_t begin, uint64_t end)
    {
        const CoreSegment& segment = *core_.segment_at(area.address);
        const uint64_t offset = segment.offset + (begin - segment.begin);
        if (!has_data({offset, offset + (end - begin)})) return;
        const auto bytes = std::as_writable_bytes(std::span(buffer_)).first(end - begin);
        const size_t got = core_.file.read_at(offset, bytes) / kWord * kWord;
        skipped_bytes_ += end - begin - got;
        scanned_bytes_ += got;
        for (uint64_t at = begin; at < begin + got;) {
            const uint64_t page = at / kPage;
            const uint64_t next = std::min(begin + got, (page + 1) * kPage);
            read_page(area, {buffer_.data() + (at - begin) / kWord, (next - at) / kWord}, at,
                      {offset + (at - begin), offset + (next - begin)});
            at = next;
        }
    }

    void read_page(const SnapshotArea& area, std::span<const uint64_t> words, uint64_t address, FileRange in_file)
    {
        uint64_t any = 0;
        for (size_t i = 0; i < words.size(); ++i) {
            any |= words[i];
            if (targets_.contains(words[i])) [[unlikely]]
                image_.words.push_back({address + i * kWord, words[i]});
        }
        is_aligned_ = is_aligned_ && (in_file.begin - address) % kPage == 0;
        const bool is_in_file = any != 0 || has_data(in_file);
        has_zero_page_ = has_zero_page_ || (any == 0 && is_in_file && words.size() * kWord == kPage);
        if (area.kind != AreaKind::anonymous || !is_in_file) return;
        add_page(any != 0 ? image_.resident : zero_, address / kPage);
    }

    // Whether something of these bytes is no hole of the file.
    [[nodiscard]] bool has_data(FileRange bytes)
    {
        const auto is_odd = [](uint64_t offset) { return offset % (2 * kPage) == kPage; };
        if (bytes.begin < data_from_) {
            data_from_ = bytes.begin;
            data_ = core_.file.next_data(bytes.begin);
        }
        while (data_ && data_->end <= bytes.begin) {
            const uint64_t hole = data_->end;
            data_ = core_.file.next_data(hole);
            const bool is_page_hole = data_ && data_->begin > hole && is_odd(hole) && is_odd(data_->begin);
            has_page_hole_ = has_page_hole_ || is_page_hole;
        }
        return data_ && data_->begin < bytes.end;
    }

    // The kernel leaves a hole in the file for a page that was never written (fs/coredump.c, dump_user_range()). But
    // others who write or copy files leave holes for whatever is zero, in units of their own, or fill all holes (zstd
    // and lz4 leave them from multiples of 32 KiB on). Where a hole begins and ends at odd pages, and a page that is
    // zero is none, it was the kernel; else nothing is known of pages of zeros.
    void judge_pages()
    {
        if (is_aligned_ && has_page_hole_ && has_zero_page_) {
            image_.resident = joined(std::move(image_.resident), zero_);
            return;
        }
        image_.resident = joined(std::move(image_.resident), {});
        auto known = image_.resident.begin();
        for (const SnapshotArea& area : image_.areas) {
            if (area.kind != AreaKind::anonymous) continue;
            const uint64_t end = (area.address + area.bytes + kPage - 1) / kPage;
            uint64_t at = area.address / kPage;
            while (known != image_.resident.end() && known->page + known->pages <= at) ++known;
            for (auto run = known; at < end; ++run) {
                const bool is_last = run == image_.resident.end() || run->page >= end;
                if (const uint64_t to = is_last ? end : run->page; to > at) image_.unknown.push_back({at, to - at});
                if (is_last) break;
                at = run->page + run->pages;
            }
        }
        image_.unknown = joined(std::move(image_.unknown), {});
    }

    const CoreFile& core_;
    MemoryImage image_;
    format::RangeSet<std::vector<format::AddressSpan>> targets_;
    std::vector<uint64_t> buffer_ = std::vector<uint64_t>(kBufferPages * kPage / kWord);
    std::optional<FileRange> data_; // the next one from data_from_ on
    uint64_t data_from_ = UINT64_MAX;
    std::vector<PageRun> zero_;  // that are in the file and hold nothing but zeros
    bool is_aligned_ = true;     // pages of memory are pages of the file
    bool has_page_hole_ = false; // a hole that begins and ends in the middle of two pages
    bool has_zero_page_ = false; // a page of the file that holds nothing but zeros
    uint64_t bytes_ = 0;         // to be looked at
    uint64_t scanned_bytes_ = 0;
    uint64_t skipped_bytes_ = 0;
};

} // namespace

MemoryImage read_core_image(const CoreFile& core, CoreAreas areas, std::span<const AddressRange> blocks,
                            const std::function<void(double)>& on_progress)
{
    return Reader(core, areas).run(std::move(areas), blocks, on_progress);
}

} // namespace leak::analyzer
