#include "preload/snapshot/copy.hpp"

#include "format/checksum.hpp"
#include "preload/os.hpp"
#include "preload/part_writer.hpp"
#include "preload/snapshot/areas.hpp"
#include "preload/snapshot/free_chunks.hpp"
#include "preload/snapshot/pointer_filter.hpp"
#include "preload/snapshot/readable_copy.hpp"
#include "preload/snapshot/thread_registers.hpp"
#include "preload/snapshot/touched_pages.hpp"
#include "preload/tracer.hpp"

#include <sched.h>
#include <sys/uio.h>

namespace leak::preload {

using format::AreaKind;
using format::PageRun;
using Outcome = Mailbox::Outcome;

namespace {

constexpr uint64_t kWord = sizeof(uint64_t);

void wake(std::atomic<uint32_t>& word) noexcept
{
    os::shared_futex_wake(reinterpret_cast<uint32_t*>(&word), INT32_MAX);
}

// A word of this process's memory.
struct Peek {
    bool operator()(uint64_t address, uint64_t& word) const noexcept
    {
        const iovec to{&word, sizeof word};
        const iovec from{reinterpret_cast<void*>(address), sizeof word};
        return os::call(SYS_process_vm_readv, os::pid(), os::word(&to), 1, os::word(&from), 1, 0) == sizeof word;
    }
};

[[nodiscard]] bool is_known(const ThreadRegisters& registers) noexcept
{
    return registers.state == ThreadRegisters::State::known;
}

class Copy {
public:
    explicit Copy(const CopyOrder& order) noexcept
        : order_(order), mailbox_(*order.mailbox), last_contents_(*order.last_contents),
          compares_contents_(order.contents->exists() || order.last_contents->exists())
    {
    }

    [[nodiscard]] Outcome run() noexcept;

private:
    using Encoder = format::SnapshotEncoder<PartWriter>;

    void go_on_or_end() noexcept;
    [[nodiscard]] static Slot take_slot(void* copy) noexcept;
    void ask_for_slot() noexcept;
    [[nodiscard]] Slot slot_from_parent() noexcept;
    void write(Encoder& encoder) noexcept;
    void write_threads(Encoder& encoder) noexcept;
    [[nodiscard]] bool stood_still() const noexcept;
    void write_words(Encoder& encoder, const AreaPiece& piece) noexcept;
    [[nodiscard]] uint64_t end_of_free(uint64_t at, uint64_t end) const noexcept;
    [[nodiscard]] uint64_t read_some(const AreaPiece& piece, uint64_t begin, uint64_t end) noexcept;
    void note_resident(const TouchedPages::Run& run) noexcept;
    void note_contents(uint64_t begin, uint64_t end) noexcept;
    void note_unwritten(uint64_t page, uint64_t since) noexcept;
    void write_unwritten(Encoder& encoder) noexcept;
    void write_figures(Encoder& encoder) noexcept;

    static constexpr size_t kBufferWords = 32 * 1024; // stays in the second-level cache

    const CopyOrder& order_;
    Mailbox& mailbox_;
    int fd_ = -1;
    Areas areas_;
    PointerFilter filter_{g_block_regions, g_tracer.mapping_starts};
    FreeChunks<Peek> free_chunks_{Peek()};
    TouchedPages touched_;
    MappedArray<uint64_t> buffer_;
    MappedArray<format::AddressSpan> roots_; // looked at once: a handler of the host's may register some
    MappedArray<ThreadRegisters> registers_; // of the host's other threads
    uint64_t known_registers_ = 0;
    size_t late_threads_ = 0; // that were asked to stop, and have not yet
    MappedArray<PageRun> resident_;
    struct UnwrittenRun {
        PageRun run;
        uint64_t since; // stamp
    };
    MappedArray<UnwrittenRun> unwritten_;
    PageContents::Reader last_contents_;
    bool compares_contents_;
    uint64_t scanned_bytes_ = 0;
    uint64_t skipped_bytes_ = 0;
    uint32_t slots_asked_ = 0; // for
    uint32_t slots_got_ = 0;
    bool has_slot_memory_ = true;
};

Outcome Copy::run() noexcept
{
    fd_ = order_.descriptor >= 0 ? order_.descriptor : g_tracer.file.open_again();
    if (fd_ < 0) return Outcome::no_room;
    if (order_.most_slots != 0) ask_for_slot(); // it is there when it is needed
    if (!areas_.read(mailbox_)) return Outcome::broken;
    const SlotGiver slots{&Copy::take_slot,
                          [](void*, const Slot& slot) noexcept { os::unmap(slot.at, format::kSlotBytes); }, this};
    PartWriter writer(format::FrameKind::snapshot, order_.number, order_.most_slots, slots);
    constexpr int kMostLevel = 3; // what is above costs much and gains little
    const int level = g_tracer.settings.zstd_level < kMostLevel ? g_tracer.settings.zstd_level : kMostLevel;
    if (!filter_.begin(areas_.pieces()) || !touched_.begin() || !buffer_.resize(kBufferWords) || !writer.begin(level))
        return Outcome::no_memory;
    if (stood_still()) free_chunks_.begin(areas_.heap().begin, areas_.heap().end);
    Encoder encoder(writer.buffer(), writer);
    write(encoder);
    encoder.flush();
    if (!writer.is_sound()) return has_slot_memory_ ? Outcome::no_room : Outcome::no_memory;
    if (roots_.out_of_memory() || registers_.out_of_memory() || resident_.out_of_memory() || unwritten_.out_of_memory())
        return Outcome::no_memory;
    mailbox_.bytes = encoder.bytes();
    mailbox_.parts = writer.parts();
    return Outcome::whole;
}

// Now and then.
void Copy::go_on_or_end() noexcept
{
    if (late_threads_ != 0) late_threads_ = release_late(registers_);
    mailbox_.progress.fetch_add(1, std::memory_order_relaxed);
    if (os::parent_pid() != order_.parent) os::end_process();
}

Slot Copy::take_slot(void* copy) noexcept
{
    return static_cast<Copy*>(copy)->slot_from_parent();
}

void Copy::ask_for_slot() noexcept
{
    if (slots_asked_ != slots_got_) return;
    mailbox_.slots_wanted.store(++slots_asked_, std::memory_order_release);
    mailbox_.news.fetch_add(1, std::memory_order_release);
    wake(mailbox_.news);
}

Slot Copy::slot_from_parent() noexcept
{
    constexpr long kMilliseconds = 50;
    ask_for_slot();
    for (;;) {
        const uint32_t given = mailbox_.slots_given.load(std::memory_order_acquire);
        if (given == slots_asked_) break;
        os::shared_futex_wait(reinterpret_cast<uint32_t*>(&mailbox_.slots_given), given, kMilliseconds);
        go_on_or_end();
    }
    slots_got_ = slots_asked_;
    Slot slot;
    slot.index = mailbox_.slot;
    if (slot.index == Mailbox::kNoSlot) return {};
    slot.at = static_cast<std::byte*>(os::map_file(fd_, uint64_t{slot.index} * format::kSlotBytes, format::kSlotBytes));
    has_slot_memory_ = slot.at != nullptr;
    return slot;
}

void Copy::write(Encoder& encoder) noexcept
{
    const MappedArray<AreaPiece>& pieces = areas_.pieces();
    encoder.put(pieces.size());
    uint64_t end = 0;
    for (const AreaPiece& piece : pieces) {
        encoder.put_area({piece.begin, piece.end - piece.begin, static_cast<AreaKind>(piece.kind), piece.owner}, end);
        end = piece.end;
    }
    g_tracer.roots.for_each([this](uint64_t from, uint64_t to) { roots_.push_back({from, to}); });
    encoder.put(roots_.size());
    for (const auto& [from, to] : roots_) encoder.put_all(from, to - from);
    write_threads(encoder);
    for (const AreaPiece& piece : pieces) {
        encoder.begin_words({piece.begin, piece.end - piece.begin, static_cast<AreaKind>(piece.kind), piece.owner});
        if (piece.has_words()) write_words(encoder, piece);
        encoder.end_words();
    }
    encoder.put(resident_.size());
    uint64_t page = 0;
    for (const PageRun& run : resident_) {
        encoder.put_all(run.page - page, run.pages);
        page = run.page + run.pages;
    }
    write_unwritten(encoder);
    write_figures(encoder);
}

void Copy::write_unwritten(Encoder& encoder) noexcept
{
    encoder.put(unwritten_.size());
    uint64_t page = 0;
    for (const UnwrittenRun& unwritten : unwritten_) {
        encoder.put_all(unwritten.run.page - page, unwritten.run.pages, unwritten.since);
        page = unwritten.run.page + unwritten.run.pages;
    }
}

// The registers that are known: of the thread that made the copy, those that its functions keep for their callers; of
// the others all where that is wanted and permitted, or else, in a system call, its arguments.
void Copy::write_threads(Encoder& encoder) noexcept
{
    const uint32_t threads = mailbox_.thread_count;
    if (g_tracer.settings.all_registers) {
        for (uint32_t i = 0; i < threads; ++i)
            if (!mailbox_.threads[i].is_copier) registers_.push_back({mailbox_.threads[i].tid, {}, {}});
        late_threads_ = read_registers(registers_);
    }
    uint64_t count = 0;
    for (const ThreadRegisters& registers : registers_) known_registers_ += is_known(registers);
    for (uint32_t i = 0; i < threads; ++i) count += mailbox_.threads[i].has_arguments || mailbox_.threads[i].is_copier;
    encoder.put(count + known_registers_);
    for (uint32_t i = 0; i < threads; ++i) {
        const HostThread& thread = mailbox_.threads[i];
        if (!thread.has_arguments && !thread.is_copier) continue;
        encoder.put_all(uint64_t{thread.tid}, uint64_t{6});
        for (const uint64_t value : thread.is_copier ? order_.registers : thread.arguments) encoder.put(value);
    }
    for (const ThreadRegisters& registers : registers_) {
        if (!is_known(registers)) continue;
        encoder.put_all(uint64_t{registers.tid}, uint64_t{ThreadRegisters::kCount});
        for (const uint64_t value : registers.values) encoder.put(value);
    }
}

// No thread of the host ran while the copy was made, so what is free in it was free at the stamp.
bool Copy::stood_still() const noexcept
{
    for (uint32_t i = 0; i < mailbox_.thread_count; ++i)
        if (!mailbox_.threads[i].is_copier && mailbox_.threads[i].stack_pointer == 0) return false;
    return mailbox_.thread_count != 0 && mailbox_.has_all_threads;
}

void Copy::write_words(Encoder& encoder, const AreaPiece& piece) noexcept
{
    TouchedPages::Run run{piece.begin, piece.begin};
    while (touched_.next(piece, run.end, run)) {
        if (piece.is(AreaKind::anonymous)) note_resident(run);
        for (uint64_t at = run.begin; at < run.end;) {
            go_on_or_end();
            if (const uint64_t used = end_of_free(at, run.end); used != at) {
                scanned_bytes_ += used - at;
                at = used;
                continue;
            }
            const uint64_t region_end = filter_.enter(at);
            // To the end of a page, for the sake of its checksum.
            const uint64_t buffer_end = (at + kBufferWords * kWord) / kPageBytes * kPageBytes;
            const uint64_t most = region_end < buffer_end ? region_end : buffer_end;
            const uint64_t bytes = read_some(piece, at, run.end < most ? run.end : most);
            if (bytes == 0) { // this page, for whatever reason
                const uint64_t next = (at / kPageBytes + 1) * kPageBytes;
                skipped_bytes_ += (next < run.end ? next : run.end) - at;
                at = next;
                continue;
            }
            const uint64_t* const words = buffer_.begin();
            free_chunks_.for_each_used(at, {words, bytes / kWord}, [&](uint64_t first, uint64_t last) {
                for (uint64_t i = first; i < last; ++i)
                    if (filter_.keeps(words[i])) [[unlikely]]
                        encoder.put_word({at + i * kWord, words[i]});
            });
            if (piece.is(AreaKind::anonymous) && compares_contents_) note_contents(at, at + bytes);
            scanned_bytes_ += bytes;
            at += bytes;
        }
    }
}

// Where what is free at `at` ends, as far as that is whole pages that nobody needs to see; `at`: it is not.
uint64_t Copy::end_of_free(uint64_t at, uint64_t end) const noexcept
{
    if (compares_contents_) return at;
    const uint64_t free_end = free_chunks_.free_end(at);
    if (free_end >= end) return end;
    const uint64_t page = free_end / kPageBytes * kPageBytes;
    return page > at ? page : at;
}

// Copies what lies at `begin` into the buffer, up to what can't be read: bytes, a multiple of 8. What is mapped of a
// file, and is no module, may be a device's, and is left to the kernel.
uint64_t Copy::read_some(const AreaPiece& piece, uint64_t begin, uint64_t end) noexcept
{
    uint64_t bytes = end - begin;
    auto* const at = reinterpret_cast<void*>(begin);
    if (piece.is_file && piece.owner == format::kNoModule) {
        const iovec to{buffer_.begin(), bytes};
        const iovec from{at, bytes};
        const long got = os::call(SYS_process_vm_readv, os::pid(), os::word(&to), 1, os::word(&from), 1, 0);
        bytes = got < 0 ? 0 : static_cast<uint64_t>(got);
    } else {
        bytes = copy_readable(buffer_.begin(), at, bytes);
    }
    return bytes & ~(kWord - 1);
}

void Copy::note_resident(const TouchedPages::Run& run) noexcept
{
    const uint64_t page = run.begin / format::kSnapshotPageBytes;
    const uint64_t end = (run.end + format::kSnapshotPageBytes - 1) / format::kSnapshotPageBytes;
    if (!resident_.empty() && resident_.back().page + resident_.back().pages >= page)
        resident_.back().pages = end - resident_.back().page;
    else
        resident_.push_back({page, end - page});
}

// Of the whole pages in [begin, end), which is what the buffer has.
void Copy::note_contents(uint64_t begin, uint64_t end) noexcept
{
    constexpr uint64_t kPage = format::kSnapshotPageBytes;
    const auto* const bytes = reinterpret_cast<const std::byte*>(buffer_.begin());
    for (uint64_t at = (begin + kPage - 1) / kPage * kPage; at + kPage <= end; at += kPage) {
        const uint32_t checksum = format::checksum(bytes + (at - begin), kPage);
        uint64_t since = order_.stamp;
        if (last_contents_.held(at / kPage, checksum, since)) note_unwritten(at / kPage, since);
        order_.contents->add(at / kPage, checksum, since);
    }
}

void Copy::note_unwritten(uint64_t page, uint64_t since) noexcept
{
    if (!unwritten_.empty()) {
        UnwrittenRun& last = unwritten_.back();
        if (last.run.page + last.run.pages == page && last.since == since) {
            ++last.run.pages;
            return;
        }
    }
    unwritten_.push_back({{page, 1}, since});
}

void Copy::write_figures(Encoder& encoder) noexcept
{
    uint64_t figures[format::kSnapshotFigures] = {};
    const auto set = [&figures](format::SnapshotFigure which, uint64_t value) {
        figures[static_cast<uint32_t>(which)] = value;
    };
    using enum format::SnapshotFigure;
    set(reason, static_cast<uint64_t>(order_.reason));
    set(pause_ns, mailbox_.pause_ns);
    set(scan_ns, os::clock_ns(CLOCK_MONOTONIC) - order_.begin_ns);
    set(scanned_bytes, scanned_bytes_);
    set(skipped_bytes, skipped_bytes_);
    set(threads, mailbox_.thread_count);
    set(threads_without_stack, areas_.threads_without_stack());
    const uint32_t copier = order_.tid != 0 && mailbox_.thread_count != 0 ? 1 : 0;
    set(threads_without_registers, mailbox_.thread_count - copier - known_registers_);
    encoder.put(format::kSnapshotFigures);
    for (const uint64_t figure : figures) encoder.put(figure);
}

// It must neither keep the host's descriptors open, nor stand in the host's way when processors or memory are short,
// nor leave a core file of its own. (The kernel ends all who share memory when that is short, and takes what it is told
// about one for all.)
void settle(const CopyOrder& order) noexcept
{
    if (order.descriptor < 0) os::call(SYS_close_range, 0, ~0u, 0);
    os::call(SYS_prctl, PR_SET_NAME, os::word("libleak"));
    const rlimit no_core{1, 1}; // 1 byte: 0 would not keep a core pattern that is a pipe from being started
    os::call(SYS_prlimit64, 0, RLIMIT_CORE, os::word(&no_core), 0);
    const sched_param no_priority{};
    os::call(SYS_sched_setscheduler, 0, SCHED_BATCH, os::word(&no_priority));
    if (order.shares_memory) return;
    if (const int fd = os::open("/proc/self/oom_score_adj", O_WRONLY); fd >= 0) {
        os::write(fd, "1000", 4);
        os::close(fd);
    }
}

} // namespace

void live_as_copy(const CopyOrder& order) noexcept
{
    constexpr long kMilliseconds = 50;
    settle(order);
    begin_readable_copies();
    Mailbox& mailbox = *order.mailbox;
    while (mailbox.is_ready.load(std::memory_order_acquire) == 0) {
        os::shared_futex_wait(reinterpret_cast<uint32_t*>(&mailbox.is_ready), 0, kMilliseconds);
        if (os::parent_pid() != order.parent) os::end_process();
    }
    {
        Copy copy(order);
        mailbox.outcome.store(copy.run(), std::memory_order_release);
    }
    mailbox.news.fetch_add(1, std::memory_order_release);
    wake(mailbox.news);
    os::end_process();
}

} // namespace leak::preload
