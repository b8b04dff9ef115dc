#include "analyzer/decode/trace_file.hpp"

#include "analyzer/decode/file_header.hpp"
#include "analyzer/decode/process_state.hpp"
#include "analyzer/decode/reopen.hpp"
#include "analyzer/decode/samples.hpp"
#include "analyzer/decode/slot_scan.hpp"
#include "analyzer/decode/snapshot.hpp"

#include <algorithm>
#include <map>
#include <tuple>
#include <utility>

namespace leak::analyzer {

namespace {

// Of two buffers with the same sequence the chunk holds, then the one in the slot that was taken into use later.
[[nodiscard]] bool comes_first(const BufferRef& a, const BufferRef& b)
{
    const auto key = [](const BufferRef& buffer) {
        return std::tuple(buffer.sequence, buffer.raw_copy != kNoRawCopy, ~buffer.slot_sequence, buffer.offset);
    };
    return key(a) < key(b);
}

[[nodiscard]] uint64_t bound_of_threads(const TraceContents& trace)
{
    return thread_bound(trace.info.file_bytes, trace.header.threads_created);
}

[[nodiscard]] std::string name_of_stream(const StreamKey& key)
{
    std::string name = "thread " + std::to_string(key.first);
    if (key.second != 0) name += ", level " + std::to_string(key.second);
    return name;
}

class StreamBuilder {
public:
    explicit StreamBuilder(TraceContents& trace) : trace_(trace)
    {
        if (!trace.carried) return;
        forgotten_ = &trace.carried->forgotten;
        for (const CarriedState::Stream& stream : trace.carried->streams)
            if (stream.thread <= bound_of_threads(trace))
                cuts_[{stream.thread, stream.level}] = {stream.sequence, stream.events};
    }
    // What was read is left out.
    StreamBuilder(TraceContents& trace, const ReadSoFar& read)
        : trace_(trace), forgotten_(&read.forgotten), cuts_(read.positions)
    {
    }

    void build(const std::vector<FoundBuffer>& found)
    {
        std::map<StreamKey, std::vector<BufferRef>> by_stream;
        for (const FoundBuffer& one : found)
            if (is_wanted(one)) by_stream[{one.thread_index, one.level}].push_back(one.buffer);
        // Streams without events may still have something to take back.
        for (const auto& [key, cut] : cuts_) by_stream[key];
        for (auto& [key, buffers] : by_stream) add_stream(key, buffers);
    }

private:
    [[nodiscard]] bool is_wanted(const FoundBuffer& one)
    {
        if (trace_.cut_stamp && one.buffer.base_stamp > *trace_.cut_stamp) return false;
        // In a slot that is free now, or of a raw buffer that its chunk outlived.
        if (forgotten_ != nullptr && forgotten_->has(one.thread_index)) return false;
        if (one.thread_index <= bound_of_threads(trace_)) return true;
        trace_.damage.add(one.buffer.offset, "an event buffer names a thread that can't exist",
                          std::min<uint64_t>(one.buffer.event_count, format::kMaxColumnBytes));
        return false;
    }

    void add_stream(const StreamKey& key, std::vector<BufferRef>& buffers)
    {
        std::ranges::sort(buffers, comes_first);
        const auto same = std::ranges::unique(buffers, {}, &BufferRef::sequence);
        buffers.erase(same.begin(), same.end());
        const auto cut = cuts_.find(key);
        uint64_t expected = cut == cuts_.end() ? 0 : cut->second.sequence;
        std::erase_if(buffers, [&](const BufferRef& buffer) { return buffer.sequence < expected; });
        uint32_t folded_events = 0;
        if (cut != cuts_.end() && !buffers.empty() && buffers.front().sequence == expected)
            folded_events = cut->second.events;
        for (const BufferRef& buffer : buffers) {
            if (buffer.sequence != expected)
                trace_.damage.add(buffer.offset, name_of_stream(key) + ": " +
                                                     std::to_string(buffer.sequence - expected) +
                                                     " event buffer(s) before this one are missing");
            expected = buffer.sequence + 1;
            trace_.event_count += buffer.event_count;
            if (buffer.in_rows) trace_.info.uncompressed_events += buffer.event_count;
        }
        trace_.streams.push_back({ThreadId{key.first}, key.second, std::move(buffers), folded_events});
    }

    TraceContents& trace_;
    const ThreadRuns* forgotten_ = nullptr;
    std::map<StreamKey, StreamPosition> cuts_;
};

void fill_slots(TraceContents& trace, SlotScanner& scanner)
{
    trace.slots = scanner.take_slots();
    trace.unused_slots = scanner.unused_slots();
}

void count_slot_events(TraceContents& trace, const std::vector<FoundBuffer>& found)
{
    for (const FoundBuffer& one : found) {
        const uint64_t offset = one.buffer.offset / trace.header.slot_bytes * trace.header.slot_bytes;
        const auto slot = std::ranges::lower_bound(trace.slots, offset, {}, &SlotInfo::offset);
        if (slot != trace.slots.end() && slot->offset == offset) slot->events += one.buffer.event_count;
    }
}

void fill_header_facts(TraceContents& trace)
{
    const format::FileHeader& header = trace.header;
    TraceInfo& info = trace.info;
    info.path = trace.file.path();
    info.trace_id = header.trace_id;
    info.pid = header.pid;
    info.parent_pid = header.parent_pid;
    info.start_unix_ns = header.start_unix_ns;
    info.end_state = header.end_state;
    if (const auto snapshot = snapshot_ref(header)) {
        info.snapshot_number = snapshot->number;
        info.snapshot_ns = trace.clock.to_ns(snapshot->stamp);
    }
    info.snapshot_failure = header.snapshot_failure;
    if (header.end_state != format::EndState::open) info.ended_ns = trace.clock.to_ns(header.end_stamp);
    if (header.end_state == format::EndState::exit_started || header.end_state == format::EndState::fast_exit)
        info.exit_status = header.exit_status;
    info.loss_cause = header.loss_cause;
    if (header.loss_cause != format::LossCause::none) info.loss_first_ns = trace.clock.to_ns(header.loss_first_stamp);
    info.depth_limit = header.depth_limit;
    info.file_bytes = trace.file.size_bytes();
    info.ring_bytes = header.ring_bytes;
    info.sample_bytes = header.sample_bytes;
    info.writer_cpu_ns = header.writer_cpu_ns;
    info.libunwind_stacks = header.libunwind_stacks;
    info.verified_stacks = header.verified_stacks;
    info.stack_differences = header.stack_differences;
}

void fill_journal_facts(TraceContents& trace, std::vector<JournalRecord> records)
{
    TraceInfo& info = trace.info;
    if (trace.cut_stamp) std::erase_if(records, [&](const auto& r) { return r.stamp > *trace.cut_stamp; });
    JournalFacts facts = read_journal(std::move(records),
                                      {trace.clock, info.path, info.file_bytes, bound_of_threads(trace)}, trace.damage);
    info.exe = std::move(facts.exe);
    info.working_directory = std::move(facts.working_directory);
    info.args = std::move(facts.args);
    info.settings = std::move(facts.settings);
    info.exec_path = std::move(facts.exec_path);
    info.marks = std::move(facts.marks);
    info.paused = std::move(facts.paused);
    info.differences = std::move(facts.differences);
    trace.modules = std::move(facts.modules);
    trace.threads = std::move(facts.threads);
    trace.parent = std::move(facts.parent);
    if (trace.parent) {
        info.parent_trace_path = trace.parent->path;
        info.fork_ns = trace.clock.to_ns(trace.parent->fork_stamp);
    }
}

// Threads whose journal record is lost still have their events. known_before: of so many is known that they were.
void complete_threads(TraceContents& trace, uint64_t known_before)
{
    const size_t named = trace.threads.size();
    for (const Stream& stream : trace.streams)
        if (find_thread(std::span(trace.threads).first(named), stream.thread) == nullptr &&
            (trace.threads.size() == named || trace.threads.back().id != stream.thread))
            trace.threads.push_back({.id = stream.thread, .tid = 0, .name = {}, .started_ns = 0});
    std::ranges::sort(trace.threads, {}, &Thread::id);
    trace.thread_count = std::min(known_before, bound_of_threads(trace) + 1);
    if (!trace.threads.empty())
        trace.thread_count = std::max(trace.thread_count, trace.threads.back().id.value + uint64_t{1});
}

[[nodiscard]] TraceContents open_empty(FileReader file)
{
    const format::FileHeader header = read_file_header(file);
    return {.file = std::move(file),
            .header = header,
            .clock = StampConverter(header.start.stamp),
            .info = {},
            .modules = {},
            .threads = {},
            .thread_count = 0,
            .parent = {},
            .pcs = {},
            .raw_copies = {},
            .streams = {},
            .carried = {},
            .snapshot_parts = {},
            .samples = {},
            .slots = {},
            .cut_stamp = {},
            .damage = {}};
}

// The moment of a view of a running process. Everything recorded before it is in the raw buffers that are copied next,
// or in the chunks that are looked for afterwards. (What has the stamp of this very moment may still come.)
void set_moment(TraceContents& trace)
{
    if (const auto now = read_clock(trace.header.stamp_clock)) trace.cut_stamp = now->stamp - 1;
}

[[nodiscard]] Findings scan(TraceContents& trace, bool live)
{
    if (live) set_moment(trace);
    Findings found;
    SlotScanner scanner(trace.file, trace.header);
    scanner.scan_raw_buffers(found, trace.raw_copies);
    scanner.scan_rest(found, live);
    fill_slots(trace, scanner);
    return found;
}

constexpr int kAttempts = 20; // to read a file while nothing is folded

[[nodiscard]] uint64_t number_of(const format::FileHeader& header)
{
    const auto reference = carried_ref(header);
    return reference ? reference->number : 0;
}

// The states that hold: whose slots are left alone.
[[nodiscard]] bool are_still_held(const FileReader& file, const format::FileHeader& header)
{
    const format::FileHeader now = read_file_header(file);
    const auto snapshot = [](const format::FileHeader& one) {
        const auto reference = snapshot_ref(one);
        return reference ? reference->number : 0;
    };
    return number_of(now) == number_of(header) && snapshot(now) == snapshot(header);
}

// A process that uses slots again may do so while we read. What belongs to a carried state or a snapshot stays until
// the next one holds, so the file is copied until that did not happen meanwhile.
[[nodiscard]] Findings scan_live_ring(TraceContents& trace)
{
    for (int attempt = 1;; ++attempt) {
        trace.header = read_file_header(trace.file);
        set_moment(trace);
        Findings found;
        trace.raw_copies.clear();
        SlotScanner(trace.file, trace.header).scan_raw_buffers(found, trace.raw_copies);
        FileReader copy = trace.file.copy();
        if (attempt < kAttempts && !are_still_held(trace.file, trace.header)) continue;
        trace.file = std::move(copy);
        SlotScanner scanner(trace.file, trace.header);
        scanner.scan_rest(found, true);
        fill_slots(trace, scanner);
        return found;
    }
}

// The same without a copy, and without what was read before.
[[nodiscard]] std::optional<Findings> scan_again(TraceContents& trace, bool live, ReadSoFar& read)
{
    for (int attempt = 1; attempt <= kAttempts; ++attempt) {
        trace.header = read_file_header(trace.file);
        if (live) set_moment(trace);
        Findings found;
        trace.raw_copies.clear();
        SlotScanner scanner(trace.file, trace.header);
        scanner.scan_raw_buffers(found, trace.raw_copies);
        ScanAgain again{read.seen, number_of(trace.header) == read.carried_number};
        scanner.scan_rest(found, live, &again);
        if (carried_number_now(trace.file) == number_of(trace.header)) return found;
    }
    return std::nullopt;
}

// Whether everything that was folded was read. Where a buffer was read to the end that nobody knew to be the end, no.
[[nodiscard]] bool all_folded_were_read(const CarriedState& state, const ReadSoFar& read)
{
    // A stream that is not listed any more was read to its end, or there would be fewer buffers than were folded.
    uint64_t buffers = read.forgotten_buffers;
    for (const auto& [key, position] : read.positions)
        if (state.forgotten.has(key.first)) buffers += position.sequence;
    return buffers == state.forgotten_buffers &&
           std::ranges::all_of(state.streams, [&](const CarriedState::Stream& stream) {
               const auto position = read.positions.find({stream.thread, stream.level});
               const StreamPosition up_to = position == read.positions.end() ? StreamPosition{} : position->second;
               return StreamPosition{stream.sequence, stream.events} <= up_to;
           });
}

void forget_read_chunks(ReadSoFar& read)
{
    for (auto& [offset, slot] : read.seen)
        std::erase_if(slot.chunks, [&](const FoundBuffer& chunk) {
            if (read.forgotten.has(chunk.thread_index)) return true;
            const auto position = read.positions.find({chunk.thread_index, chunk.level});
            return position != read.positions.end() && chunk.buffer.sequence < position->second.sequence;
        });
}

void take_forgotten(CarriedState&& state, ReadSoFar& read)
{
    read.forgotten = std::move(state.forgotten);
    read.forgotten_buffers = state.forgotten_buffers;
    std::erase_if(read.positions, [&](const auto& stream) { return read.forgotten.has(stream.first.first); });
}

void set_clock(TraceContents& trace, bool same_boot)
{
    if (const auto clock = make_converter(trace.header, same_boot))
        trace.clock = *clock;
    else
        trace.damage.add(format::kFileHeaderOffset, "the stamp clock was never calibrated: times are in ticks, not ns");
}

// A process that runs, or that was killed so that it may be one that runs where we can't see it.
[[nodiscard]] bool find_out_if_live(TraceContents& trace, bool same_boot)
{
    trace.info.still_running = still_running(trace.header);
    return trace.info.still_running || (same_boot && trace.header.end_state == format::EndState::open);
}

void take_carried_journal(const CarriedState& state, Findings& found)
{
    const auto records = std::as_bytes(std::span(state.journal));
    read_journal_records(records, format::kFileHeaderOffset, false, found.journal, found.damage);
}

void check_sampling(TraceContents& trace)
{
    format::FileHeader& header = trace.header;
    const bool has_sampling = format::file_header_bytes(header.version_major, header.version_minor) >=
                              offsetof(format::FileHeader, snapshots);
    if (has_sampling && header.sample_check != ~header.sample_bytes) {
        trace.damage.add(format::kFileHeaderOffset, "whether blocks were sampled is damaged: taken as recorded all");
        header.sample_bytes = 0;
    }
}

// What the slots hold but their events.
void take_findings(TraceContents& trace, Findings& found, bool same_boot)
{
    trace.damage = std::move(found.damage);
    set_clock(trace, same_boot);
    check_sampling(trace);
    fill_header_facts(trace);
    fill_journal_facts(trace, std::move(found.journal));
    trace.pcs = std::move(found.pcs);
    trace.pcs.finish(trace.modules.size(), trace.damage);
    trace.snapshot_parts = std::move(found.snapshots);
    trace.samples = process_samples(std::move(found.samples), trace.clock);
    if (const auto reference = carried_ref(trace.header)) trace.info.folded_ns = trace.clock.to_ns(reference->stamp);
}

} // namespace

TraceContents open_trace(const std::filesystem::path& path)
{
    return open_trace(FileReader(path));
}

TraceContents open_trace(FileReader file)
{
    TraceContents trace = open_empty(std::move(file));
    const bool same_boot = written_on_this_boot(trace.header);
    const bool live = find_out_if_live(trace, same_boot);
    Findings found = live && trace.header.ring_bytes != 0 ? scan_live_ring(trace) : scan(trace, live);
    // Beyond this point the file is read for the events of chunks alone.

    trace.carried = read_carried(trace.file, trace.header, std::move(found.carried), found.damage);
    if (trace.carried) take_carried_journal(*trace.carried, found);
    take_findings(trace, found, same_boot);
    StreamBuilder(trace).build(found.buffers);
    complete_threads(trace, trace.carried ? std::max(trace.carried->threads, trace.carried->forgotten.end()) : 0);
    count_slot_events(trace, found.buffers);
    return trace;
}

std::optional<TraceContents> reopen_trace(FileReader file, ReadSoFar& read)
{
    TraceContents trace = open_empty(std::move(file));
    const bool same_boot = written_on_this_boot(trace.header);
    const bool live = find_out_if_live(trace, same_boot);
    forget_read_chunks(read);
    std::optional<Findings> found = scan_again(trace, live, read);
    if (!found) return std::nullopt;
    if (const auto reference = carried_ref(trace.header); reference && reference->number != read.carried_number) {
        auto state = read_carried(trace.file, trace.header, std::move(found->carried), found->damage);
        if (!state || !all_folded_were_read(*state, read)) return std::nullopt;
        take_carried_journal(*state, *found);
        take_forgotten(std::move(*state), read);
        read.carried_number = reference->number;
    }
    take_findings(trace, *found, same_boot);
    StreamBuilder(trace, read).build(found->buffers);
    complete_threads(trace, read.forgotten.end());
    return trace;
}

uint64_t carried_number_now(const FileReader& file)
{
    return number_of(read_file_header(file));
}

} // namespace leak::analyzer
