#include "tests/golden/golden_trace.hpp"

#include "format/snapshot.hpp"
#include "tests/unit/fold_helpers.hpp"

namespace leak::test {

using enum leak::format::EventKind;
using leak::format::RecordType;

namespace {

using AddEvent = std::function<void(uint32_t thread, const TestEvent& event)>;

void add_journal(TraceBuilder& trace)
{
    trace.process("/usr/bin/golden", "/srv", {"golden", "--serve"});
    trace.record(RecordType::setting, 0, "LEAK_DEPTH=256");
    trace.module(
        {.index = 1, .path = "/usr/bin/golden", .start = 0x400000, .end = 0x480000, .build_id = "golden-build-id-1"});
    trace.module({.index = 2, .path = "/usr/lib/libplugin.so", .start = 0x7f0000000000, .end = 0x7f0000100000});
    trace.thread(0, 4711, "golden");
    trace.thread(1, 4712, "worker", 500);
    trace.record(RecordType::mark, 30'000, "load stop");
    trace.others_mark(20'000, "from outside");
    trace.others_mark(40'000, "from outside, later");
    const uint32_t unloaded = 2;
    trace.record(RecordType::module_unloaded, 90'000, {reinterpret_cast<const char*>(&unloaded), sizeof unloaded});
}

// Each family allocates and frees; then the forms of realloc and of mappings.
void add_every_kind(const AddEvent& add, const std::vector<uint32_t>& pcs)
{
    const std::pair<format::EventKind, format::EventKind> families[] = {{malloc_, free_},
                                                                        {calloc_, free_},
                                                                        {posix_memalign_, free_},
                                                                        {aligned_alloc_, free_aligned_sized_},
                                                                        {memalign_, free_sized_},
                                                                        {valloc_, free_},
                                                                        {pvalloc_, free_},
                                                                        {new_, delete_},
                                                                        {new_array, delete_array},
                                                                        {new_aligned, delete_aligned},
                                                                        {custom_alloc, custom_free},
                                                                        {new_array_aligned, delete_array_aligned}};
    uint64_t stamp = 1000;
    for (const auto& [allocate, release] : families) {
        const uint8_t extra = format::has_stack(allocate) && allocate >= posix_memalign_ ? uint8_t{6} : uint8_t{0};
        add(0, {.kind = allocate, .stamp = stamp, .address = 0x10000, .size = 100, .stack = pcs, .extra = extra});
        add(0, {.kind = release, .stamp = stamp + 10, .address = 0x10000});
        stamp += 100;
    }
    add(0, {.kind = malloc_, .stamp = 3000, .address = 0x20000, .size = 10});
    add(0, {.kind = realloc_release, .stamp = 3010, .address = 0x20000});
    add(0, {.kind = realloc_, .stamp = 3020, .address = 0x20100, .size = 20});
    add(0, {.kind = realloc_release, .stamp = 3030, .address = 0x20100});
    add(0, {.kind = reallocarray_, .stamp = 3040, .address = 0x20200, .size = 40}); // unfreed
    add(0, {.kind = realloc_release, .stamp = 3050, .address = 0x20200});
    add(0, {.kind = realloc_undo, .stamp = 3060, .address = 0x20200});
    add(0, {.kind = mmap_, .stamp = 4000, .address = 0x100000, .size = 0x4000, .stack = pcs, .extra = 0x03});
    add(0, {.kind = munmap_, .stamp = 4010, .address = 0x101000, .size = 0x1000});
    add(0, {.kind = mremap_release, .stamp = 4020, .address = 0x102000, .size = 0x2000});
    add(0, {.kind = mremap_, .stamp = 4030, .address = 0x200000, .size = 0x8000, .stack = pcs});
    add(0, {.kind = munmap_, .stamp = 4040, .address = 0x100000, .size = 0x1000});
    add(0, {.kind = unmap_undo, .stamp = 4050, .address = 0x100000});
}

} // namespace

TraceBuilder golden_trace(TraceLayout layout, const AfterEvent& after_event)
{
    TraceBuilder trace(layout);
    const AddEvent add = [&](uint32_t thread, const TestEvent& event) {
        trace.event(thread, event);
        if (after_event) after_event(trace, thread, event);
    };
    add_journal(trace);
    const std::vector<uint32_t> pcs = {trace.pc(0x401000, 1), trace.pc(0x402000, 1), trace.pc(0x7f0000001000, 2)};
    add_every_kind(add, pcs);
    // A mismatch, an unmatched release, a replaced block.
    add(0, {.kind = new_, .stamp = 5000, .address = 0x30000, .size = 64, .stack = pcs});
    add(0, {.kind = free_, .stamp = 5010, .address = 0x30000});
    add(0, {.kind = free_, .stamp = 5020, .address = 0x31000});
    add(0, {.kind = malloc_, .stamp = 5030, .address = 0x32000, .size = 8});
    add(0, {.kind = malloc_, .stamp = 5040, .address = 0x32000, .size = 16}); // unfreed
    trace.flush(0);
    // One thread allocates, the other frees two of three.
    for (uint64_t i = 0; i < 170; ++i) {
        const uint64_t stamp = 10'000 + i * 100;
        const std::vector<uint32_t> stack(pcs.begin(), pcs.begin() + 1 + static_cast<std::ptrdiff_t>(i % 3));
        add(0, {.kind = malloc_, .stamp = stamp, .address = 0x40000 + i * 64, .size = 32 + i % 3, .stack = stack});
        if (i % 3 != 2) add(1, {.kind = free_, .stamp = stamp + 50, .address = 0x40000 + i * 64});
        if (i == 60 || i == 120) trace.flush(1);
        trace.stores_rows = i == 100;
        if (i == 100) trace.flush(0);
    }
    return trace;
}

TraceBuilder wrapped_golden_trace(TraceLayout layout)
{
    constexpr uint64_t kLastFolded = 20'050;
    preload::FoldState state(format::StampClock::monotonic_ns);
    if (!state.init(false, history_grid())) throw std::logic_error("no memory");
    TraceBuilder wrapped = golden_trace(layout, [&](TraceBuilder& trace, uint32_t thread, const TestEvent& event) {
        if (event.stamp > kLastFolded) return;
        fold(state, thread, event, trace);
        if (event.stamp == kLastFolded) trace.drop_chunks();
    });
    wrapped.carry(written(state), kLastFolded);
    return wrapped;
}

TraceBuilder forgotten_golden_trace(TraceLayout layout)
{
    constexpr uint64_t kLast = 26'950;
    preload::FoldState state(format::StampClock::monotonic_ns);
    if (!state.init(false, history_grid())) throw std::logic_error("no memory");
    TraceBuilder trace = golden_trace(layout, [&](TraceBuilder& growing, uint32_t thread, const TestEvent& event) {
        growing.keep_flushed_raw = true;
        fold(state, thread, event, growing);
        if (event.stamp < kLast) return;
        preload::FoldState::StreamState& stream = state.stream(state.stream_of(1, 0));
        growing.flush(1);
        stream.events = 0;
        preload::MappedArray<preload::ThreadEnd> ends;
        ends.push_back({1, {++stream.sequence, 0, 0}});
        state.note_ended(ends);
        state.forget_streams();
    });
    trace.carry(written(state), kLast);
    return trace;
}

// A global points to the first block that is left, that one to the inside of the second, and the third to the fourth.
TraceBuilder snapshot_golden_trace(TraceLayout layout)
{
    constexpr uint64_t kMoment = 20'000, kGlobals = 0x47f000, kHeap = 0x40000;
    const auto left = [](uint64_t i) { return kHeap + (3 * i + 2) * 64; };
    const format::SnapshotArea areas[] = {{kHeap, 0x8000, format::AreaKind::anonymous, 0},
                                          {kGlobals, 0x1000, format::AreaKind::module_data, 1}};
    const std::vector<format::SnapshotWord> words[] = {{{left(0) + 8, left(1) + 16}, {left(2), left(3)}},
                                                       {{kGlobals + 0x10, left(0)}}};
    struct Parts {
        std::vector<std::byte> all;
        void part(std::span<const std::byte> bytes) { all.insert(all.end(), bytes.begin(), bytes.end()); }
    } parts;
    std::vector<std::byte> buffer(format::kMaxPartBytes + 64);
    format::SnapshotEncoder encoder(buffer, parts);
    encoder.put(std::size(areas));
    uint64_t end = 0;
    for (const format::SnapshotArea& area : areas) {
        encoder.put_area(area, end);
        end = area.address + area.bytes;
    }
    encoder.put(0);                          // registered roots
    encoder.put_all(1, 4711, 2, 0, left(4)); // registers of one thread
    for (size_t i = 0; i < std::size(areas); ++i) {
        encoder.begin_words(areas[i]);
        for (const format::SnapshotWord& word : words[i]) encoder.put_word(word);
        encoder.end_words();
    }
    encoder.put_all(1, kHeap / format::kSnapshotPageBytes, 2);         // resident pages
    encoder.put_all(1, kHeap / format::kSnapshotPageBytes, 1, 10'000); // unwritten ones
    const auto reason = static_cast<uint64_t>(format::SnapshotReason::mark);
    encoder.put_all(format::kSnapshotFigures, reason, 200, 300, 0x9000, 0, 2, 0, 1);
    encoder.flush();
    TraceBuilder trace = golden_trace(layout);
    trace.snapshot(parts.all, kMoment);
    return trace;
}

TraceBuilder killed_golden_trace(TraceLayout layout)
{
    constexpr uint64_t kAfterFlushOfBoth = 20'100;
    TraceBuilder killed = golden_trace(layout, [&](TraceBuilder& trace, uint32_t, const TestEvent& event) {
        if (event.stamp == kAfterFlushOfBoth) trace.keep_flushed_raw = true;
    });
    killed.header.end_state = format::EndState::open;
    return killed;
}

} // namespace leak::test
