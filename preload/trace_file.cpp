#include "preload/trace_file.hpp"

#include "format/checksum.hpp"
#include "preload/os.hpp"
#include "preload/output_path.hpp"
#include "preload/own_memory.hpp"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <elf.h>

namespace leak::preload {

using format::kSlotBytes;
using format::SlotKind;

namespace {

template <typename T> void put(std::byte* at, const T& value) noexcept
{
    std::memcpy(at, &value, sizeof value);
}

// Puts a frame where a padding frame covers its place and what follows; until the last store it still does.
template <typename Frame> void publish_frame(std::byte* at, const Frame& frame) noexcept
{
    uint64_t prefix = 0;
    std::memcpy(&prefix, &frame, sizeof prefix);
    std::memcpy(at + 8, reinterpret_cast<const std::byte*>(&frame) + 8, sizeof frame - 8);
    std::atomic_ref(*reinterpret_cast<uint64_t*>(at)).store(prefix, std::memory_order_release);
}

void put_raw_frame(std::byte* at, uint64_t bytes) noexcept
{
    format::RawBufferHeader header{};
    header.frame = format::make_frame(format::FrameKind::raw_events, bytes);
    publish_frame(at, header);
}

void put_journal_frame(std::byte* at, uint64_t bytes,
                       format::JournalOwner owner = format::JournalOwner::process) noexcept
{
    format::JournalHeader header{};
    header.frame = format::make_frame(format::FrameKind::journal, bytes);
    header.owner = owner;
    publish_frame(at, header);
}

// The last buffer has what is left over, too. The first frame comes last: it makes all of them visible.
void lay_out_raw(std::byte* slot, uint32_t buffer_bytes) noexcept
{
    const uint32_t last = (kSlotBytes / buffer_bytes - 1) * buffer_bytes;
    put_raw_frame(slot + last, kSlotBytes - last);
    for (uint32_t at = buffer_bytes; at < last; at += buffer_bytes) put_raw_frame(slot + at, buffer_bytes);
    put_raw_frame(slot + sizeof(format::SlotHeader), buffer_bytes - sizeof(format::SlotHeader));
}

// The capacity is what fits; what is left over at the end of the frame is never read.
void put_pcs_frame(std::byte* at, uint64_t bytes) noexcept
{
    format::PcsHeader header{};
    header.frame = format::make_frame(format::FrameKind::pcs, bytes);
    header.capacity = static_cast<uint32_t>((bytes - sizeof header) / sizeof(format::PcEntry));
    publish_frame(at, header);
}

void put_samples_frame(std::byte* at, uint64_t bytes) noexcept
{
    format::SamplesHeader header{};
    header.frame = format::make_frame(format::FrameKind::samples, bytes, format::kIgnorable);
    header.capacity = format::kSamplesPerHalf;
    publish_frame(at, header);
}

struct Page {
    format::PaddingHeader header;
    std::byte rest[kPageBytes - sizeof(format::PaddingHeader)];
};
static_assert(sizeof(Page) == kPageBytes);
constexpr Page kPaddingPage = {format::make_padding(kPageBytes), {}};
constexpr Page kZeroPage = {};

// Writes the page over a range of the file that is whole pages long. 0, or -errno.
[[nodiscard]] long write_pages(int fd, const Page& page, uint64_t offset, uint64_t bytes) noexcept
{
    iovec pages[kSlotBytes / kPageBytes];
    const std::span<iovec> used = std::span(pages).first(bytes / kPageBytes);
    std::ranges::fill(used, iovec{const_cast<Page*>(&page), sizeof page});
    const long written = os::write_at(fd, used, offset);
    if (written < 0) return written;
    return static_cast<uint64_t>(written) == bytes ? 0 : -ENOSPC;
}

// Whether what is in a slot of this kind is read although nobody has stored it there.
[[nodiscard]] constexpr bool must_be_zero(SlotKind kind) noexcept
{
    return kind == SlotKind::start || kind == SlotKind::pcs || kind == SlotKind::journal || kind == SlotKind::samples;
}

[[nodiscard]] uint64_t random_id() noexcept
{
    uint64_t id = 0;
    constexpr long kNonBlocking = 1; // GRND_NONBLOCK
    if (os::call(SYS_getrandom, os::word(&id), sizeof id, kNonBlocking) != sizeof id)
        id = os::clock_ns(CLOCK_REALTIME) * 0x9e3779b97f4a7c15u ^ os::pid();
    return id == 0 ? 1 : id;
}

void read_boot_id(uint8_t (&id)[16]) noexcept
{
    char text[40] = {};
    if (os::read_file("/proc/sys/kernel/random/boot_id", text, sizeof text - 1) < 36) return;
    size_t digit = 0;
    for (const char c : text) {
        const int value = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
        if (value < 0 || digit == 32) continue;
        id[digit / 2] = static_cast<uint8_t>(id[digit / 2] << 4 | value);
        ++digit;
    }
}

// The bound that is asked for, or by default 1 GiB, but at most a tenth of what is free on the disk.
[[nodiscard]] uint64_t ring_bytes(const Settings& settings, int fd) noexcept
{
    constexpr uint64_t kDefault = uint64_t{1} << 30;
    if (settings.ring != Settings::kDefaultRing) return settings.ring;
    const uint64_t free = os::free_bytes(fd);
    const uint64_t most = free / 10 < kDefault ? free / 10 : kDefault;
    return most < kLeastRingBytes ? kLeastRingBytes : most;
}

// Field 22 of /proc/self/stat. The name in field 2 may hold spaces and parentheses, so count from the last ')'.
[[nodiscard]] uint64_t process_start_ticks() noexcept
{
    char text[1024] = {};
    const long bytes = os::read_file("/proc/self/stat", text, sizeof text - 1);
    const char* at = bytes > 0 ? std::strrchr(text, ')') : nullptr;
    if (at == nullptr) return 0;
    for (int spaces = 0; *at != 0 && spaces < 20; ++at)
        if (*at == ' ') ++spaces;
    return take_number(at);
}

} // namespace

bool TraceFile::create(const Settings& settings, const Clock& clock) noexcept
{
    Path executable;
    executable_path(executable);
    const uint64_t start_unix_ns = os::clock_ns(CLOCK_REALTIME);
    const int fd = create_trace_file(settings, executable.view(), os::pid(), start_unix_ns, path_);
    if (fd < 0) {
        error_ = fd;
        return false;
    }
    struct stat status{};
    os::status(fd, status);
    device_ = status.st_dev;
    inode_ = status.st_ino;
    trace_id_ = random_id();
    if (spare_.load(std::memory_order_relaxed) == nullptr)
        if (auto* place = static_cast<std::byte*>(os::map_memory(kSlotBytes)); place != nullptr) keep_or_unmap(place);
    if (mapped_ == nullptr) mapped_ = static_cast<std::atomic<uint64_t>*>(map_own(kMostMapped * sizeof *mapped_));
    Slot first;
    if (mapped_ != nullptr && ring_.begin(ring_bytes(settings, fd), settings.depth))
        first = take_slot(fd, SlotKind::start, os::tid());
    std::byte* const slot = first.at;
    os::close(fd);
    if (slot == nullptr) {
        if (error_ == 0) error_ = -ENOMEM;
        os::remove(path_.c_str());
        return false;
    }
    lay_out_first_slot(slot, settings, clock, start_unix_ns);
    // Last: from here on a signal handler counts what it loses in the header.
    std::atomic_signal_fence(std::memory_order_seq_cst);
    first_slot_ = slot;
    return true;
}

void TraceFile::lay_out_first_slot(std::byte* slot, const Settings& settings, const Clock& clock,
                                   uint64_t start_unix_ns) noexcept
{
    format::FileHeader header{};
    header.frame = format::make_frame(format::FrameKind::header, sizeof header);
    header.version_major = format::kVersionMajor;
    header.version_minor = format::kVersionMinor;
    header.slot_bytes = kSlotBytes;
    header.trace_id = trace_id_;
    header.ring_bytes = uint64_t{ring_.limit()} * kSlotBytes;
    header.pid = os::pid();
    header.parent_pid = os::parent_pid();
    header.stamp_clock = clock.kind();
    header.elf_machine = EM_X86_64;
    header.start_unix_ns = start_unix_ns;
    header.start = clock.pair();
    header.process_start_ticks = process_start_ticks();
    read_boot_id(header.boot_id);
    header.depth_limit = settings.depth;
    constexpr size_t from = offsetof(format::FileHeader, version_major);
    header.immutable_checksum = format::checksum(reinterpret_cast<const std::byte*>(&header) + from,
                                                 offsetof(format::FileHeader, immutable_checksum) - from);
    header.latest_index = 2;
    header.carried_index = 2;
    header.snapshot_index = 2;
    header.snapshot_failure = settings.snapshots ? format::SnapshotFailure::none : format::SnapshotFailure::off;
    header.sample_bytes = settings.sample;
    header.sample_check = ~settings.sample;
    header.slot_count = ring_.slots();

    // From the back: the header comes last and makes all of it visible.
    for (uint32_t at = format::kFirstRawOffset; at < kSlotBytes; at += format::kRawBufferBytes)
        put_raw_frame(slot + at, format::kRawBufferBytes);
    put_pcs_frame(slot + format::kFirstPcsOffset, format::kFirstRawOffset - format::kFirstPcsOffset);
    put_journal_frame(slot + format::kFirstJournalOffset, format::kFirstPcsOffset - format::kFirstJournalOffset);
    put_journal_frame(slot + format::kOthersJournalOffset, format::kFirstJournalOffset - format::kOthersJournalOffset,
                      format::JournalOwner::others);
    const uint32_t padding_at = format::kFileHeaderOffset + sizeof header;
    put(slot + padding_at, format::make_padding(format::kOthersJournalOffset - padding_at));
    publish_frame(slot + format::kFileHeaderOffset, header);
}

// Takes room on the disk for a slot and, in a ring that has grown a little, for some behind it: where the disk is full,
// old events can be folded only as long as there are slots for the carried state. Or -errno. What was asked for beyond
// the slot may fail: then the ring ends where there is room.
long TraceFile::take_room(int fd, uint32_t index) noexcept
{
    constexpr uint32_t kFirstAhead = 4;
    constexpr uint32_t kMostAhead = 8;
    const uint64_t most = os::soft_limit(RLIMIT_FSIZE) / kSlotBytes;
    // Asking beyond RLIMIT_FSIZE would raise SIGXFSZ in the host.
    if (index >= most) return -EFBIG;
    const uint64_t from = uint64_t{index} * kSlotBytes;
    uint64_t end = index + 1;
    if (ring_.is_bounded() && index >= kFirstAhead) end += kMostAhead;
    // Not the last slot of the ring: the file system's own blocks for the file count, too, where disk space is counted.
    if (ring_.is_bounded() && end >= ring_.limit()) end = ring_.limit() - 1 > index ? ring_.limit() - 1 : index + 1;
    const int limited = end > most ? -EFBIG : 0;
    if (end > most) end = most;
    long result = 0;
    if (end > slots_with_room_) {
        result = os::reserve(fd, from, end * kSlotBytes - from);
        if (result >= 0) slots_with_room_ = static_cast<uint32_t>(end);
    }
    if (result == -ENOSPC || result == -EDQUOT) {
        const auto error = static_cast<int>(result);
        result = os::reserve(fd, from, kSlotBytes);
        if (result >= 0 && slots_with_room_ <= index) slots_with_room_ = index + 1;
        if (result >= 0) limit_ring(error);
    } else if (result >= 0 && limited != 0) {
        limit_ring(limited);
    }
    return result;
}

void TraceFile::limit_ring(int error) noexcept
{
    // With fewer there is nothing to fold, or nowhere to put what comes out of it: it fails when it is full.
    constexpr uint32_t kLeastSlots = 12;
    constexpr uint32_t kLeastAhead = 3;
    const uint32_t slots = slots_with_room_;
    if (slots < kLeastSlots || slots < ring_.slots() + kLeastAhead || slots >= ring_.limit()) return;
    ring_.limit_to(slots);
    new_limit_.store(error, std::memory_order_release);
}

// Adds a slot of padding to the file. The space is reserved first: a write to a mapped page that the disk has no room
// for would be a SIGBUS in the host. The kernel makes the file longer by pages while it writes them, and each is a
// frame by itself, so zstd accepts what is there whenever the process is killed.
bool TraceFile::extend(int fd, uint64_t offset) noexcept
{
    const auto index = static_cast<uint32_t>(offset / kSlotBytes);
    long result = take_room(fd, index);
    if (result == -EFBIG) {
        error_ = -EFBIG;
        return false;
    }
    // Reserving takes long enough for somebody to cut the file meanwhile, which must not become longer then.
    if (is_shorter(fd, offset)) {
        note_cut();
        return false;
    }
    // Where the file system takes no reservations, writing takes the blocks.
    const bool can_reserve = result != -EOPNOTSUPP && result != -ENOSYS;
    if (!can_reserve || result >= 0) result = write_pages(fd, kPaddingPage, offset, kSlotBytes);
    if (result >= 0) return true;
    error_ = static_cast<int>(result);
    os::truncate(fd, offset); // a part of a slot would not be used
    slots_with_room_ = index;
    return false;
}

format::SlotHeader TraceFile::make_header(SlotKind kind, uint32_t owner_tid) const noexcept
{
    format::SlotHeader header{};
    header.frame = format::make_frame(format::FrameKind::slot, sizeof header);
    header.trace_id = trace_id_;
    header.sequence = slot_uses_;
    header.kind = kind;
    header.owner_tid = owner_tid;
    header.checksum = format::checksum(&header, offsetof(format::SlotHeader, checksum));
    return header;
}

// Gives a mapped slot its next use. What it held counts no more. A reader, or zstd, that comes in between finds one
// padding frame, and so does who comes when the process was killed in between. fd_for_zeros: of a slot that was just
// added, -1 for another: the host may since have limited the size of its files (SIGXFSZ).
void TraceFile::begin_use(const Slot& slot, const format::SlotHeader& header, int fd_for_zeros) noexcept
{
    const auto store = [](std::byte* at, const auto& prefix) {
        uint64_t word = 0;
        std::memcpy(&word, &prefix, sizeof word);
        std::atomic_ref(*reinterpret_cast<uint64_t*>(at)).store(word, std::memory_order_release);
    };
    store(slot.at, format::make_padding(kSlotBytes));
    store(slot.at + sizeof header, format::make_padding(kSlotBytes - sizeof header));
    if (must_be_zero(header.kind)) {
        constexpr size_t from = sizeof header + sizeof(uint64_t);
        std::memset(slot.at + from, 0, kPageBytes - from);
        // By a call, not through the mapping: who uses little of the slot has little of it in memory.
        const uint64_t offset = uint64_t{slot.index} * kSlotBytes + kPageBytes;
        if (fd_for_zeros < 0 || write_pages(fd_for_zeros, kZeroPage, offset, kSlotBytes - kPageBytes) < 0)
            std::memset(slot.at + kPageBytes, 0, kSlotBytes - kPageBytes);
    }
    publish_frame(slot.at, header);
}

Slot TraceFile::take_slot(int fd, SlotKind kind, uint32_t owner_tid) noexcept
{
    const uint32_t had = ring_.slots();
    if (is_cut(fd)) {
        note_cut();
        return {};
    }
    const uint32_t index = ring_.take(kind, slot_uses_ + 1);
    is_full_ = index == SlotRing::kNone;
    if (is_full_) return {};
    ++slot_uses_;
    const bool is_new = index == had;
    const uint64_t offset = uint64_t{index} * kSlotBytes;
    if (!is_new || extend(fd, offset)) {
        if (std::byte* const at = map_slot(fd, offset); at != nullptr) {
            remember(at); // first: the file may be cut at any moment
            const Slot slot{at, index};
            begin_use(slot, make_header(kind, owner_tid), is_new ? fd : -1);
            return slot;
        }
        error_ = -ENOMEM;
        if (is_new) os::truncate(fd, offset);
    }
    ring_.give_back(index);
    return {};
}

Slot TraceFile::add_slot(SlotKind kind, uint32_t owner_tid, int fd) noexcept
{
    is_full_ = false;
    const int own = fd >= 0 ? fd : open_again();
    Slot slot;
    if (own < 0)
        error_ = own;
    else
        slot = take_slot(own, kind, owner_tid);
    if (fd < 0 && own >= 0) os::close(own);
    if (slot) {
        lay_out(slot.at, kind);
        std::atomic_ref(header().slot_count).store(ring_.slots(), std::memory_order_release);
    }
    return slot;
}

void TraceFile::lay_out(std::byte* slot, SlotKind kind) noexcept
{
    std::byte* const body = slot + sizeof(format::SlotHeader);
    const uint64_t body_bytes = kSlotBytes - sizeof(format::SlotHeader);
    switch (kind) {
    case SlotKind::raw_events:
        lay_out_raw(slot, ring_.raw_buffer_bytes());
        break;
    case SlotKind::pcs:
        put_pcs_frame(body, body_bytes);
        break;
    case SlotKind::journal:
        put_journal_frame(body, body_bytes);
        break;
    case SlotKind::samples:
        put_samples_frame(body, body_bytes);
        break;
    default:
        break; // padding, as it was added
    }
}

// The writer adds slots while a host thread that helps it may close one, so the entries are atomic.
void TraceFile::remember(std::byte* slot) noexcept
{
    const auto address = reinterpret_cast<uint64_t>(slot);
    const uint32_t end = mapped_end_.load(std::memory_order_relaxed);
    for (uint32_t i = 0; i < end; ++i) {
        uint64_t unused = 0;
        if (mapped_[i].compare_exchange_strong(unused, address, std::memory_order_relaxed)) return;
    }
    if (end == kMostMapped) return;
    mapped_[end].store(address, std::memory_order_relaxed);
    mapped_end_.store(end + 1, std::memory_order_release);
}

void TraceFile::forget(std::byte* slot) noexcept
{
    const auto address = reinterpret_cast<uint64_t>(slot);
    const uint32_t end = mapped_end_.load(std::memory_order_acquire);
    for (uint32_t i = 0; i < end; ++i) {
        uint64_t found = address;
        while (!mapped_[i].compare_exchange_strong(found, 0, std::memory_order_acquire)) {
            if (found != (address | kLeaving)) break;
            os::call(SYS_sched_yield);
            found = address;
        }
        if (found == address) return;
    }
}

// A host at the limit of its address space leaves none for a slot: one place is kept. The mapping of a slot that is
// closed becomes the next one, without a moment in which the host could take it.
std::byte* TraceFile::map_slot(int fd, uint64_t offset) noexcept
{
    if (void* at = os::map_file(fd, offset, kSlotBytes); at != nullptr) return static_cast<std::byte*>(at);
    std::byte* const kept = spare_.exchange(nullptr, std::memory_order_acq_rel);
    if (kept == nullptr) return nullptr;
    if (void* at = os::map_file(fd, offset, kSlotBytes, kept); at != nullptr) return static_cast<std::byte*>(at);
    keep_or_unmap(kept);
    return nullptr;
}

void TraceFile::keep_or_unmap(std::byte* place) noexcept
{
    if (spare_.load(std::memory_order_relaxed) == nullptr) {
        os::replace_mapping(place, kSlotBytes);
        os::forbid(place, kSlotBytes);
        std::byte* none = nullptr;
        if (spare_.compare_exchange_strong(none, place, std::memory_order_acq_rel)) return;
    }
    os::unmap(place, kSlotBytes);
}

void TraceFile::close_slot(const Slot& slot) noexcept
{
    forget(slot.at);
    keep_or_unmap(slot.at);
    ring_.close(slot.index);
}

bool TraceFile::has_mapped(const void* address) const noexcept
{
    const uint32_t end = mapped_end_.load(std::memory_order_acquire);
    for (uint32_t i = 0; i < end; ++i) {
        const uint64_t slot = mapped_[i].load(std::memory_order_relaxed) & ~kLeaving;
        if (slot != 0 && reinterpret_cast<uint64_t>(address) - slot < kSlotBytes) return true;
    }
    return false;
}

void TraceFile::leave(const void* fault) noexcept
{
    const auto first = reinterpret_cast<uint64_t>(first_slot_);
    bool keeps_first = first != 0 && reinterpret_cast<uint64_t>(fault) - first >= kSlotBytes;
    if (const int fd = keeps_first ? open_again() : -1; fd >= 0) {
        struct stat status{};
        keeps_first = os::status(fd, status) >= 0 && status.st_size >= static_cast<off_t>(kSlotBytes);
        os::close(fd);
    } else {
        keeps_first = false;
    }
    const uint32_t end = mapped_end_.load(std::memory_order_acquire);
    for (uint32_t i = 0; i < end; ++i) {
        uint64_t slot = mapped_[i].load(std::memory_order_relaxed);
        if (slot == 0 || (slot & kLeaving) != 0 || (keeps_first && slot == first)) continue;
        // Who finds another thread at it comes back by the next fault.
        if (!mapped_[i].compare_exchange_strong(slot, slot | kLeaving, std::memory_order_acquire)) continue;
        os::replace_mapping(reinterpret_cast<void*>(slot), kSlotBytes);
        mapped_[i].store(slot, std::memory_order_release);
    }
}

bool TraceFile::is_shorter(int fd, uint64_t bytes) noexcept
{
    struct stat status{};
    return os::status(fd, status) >= 0 && static_cast<uint64_t>(status.st_size) < bytes;
}

void TraceFile::note_cut() noexcept
{
    was_cut_.store(true, std::memory_order_relaxed);
    error_ = -ESTALE;
}

bool TraceFile::is_cut(int fd) const noexcept
{
    if (is_shorter(fd, uint64_t{ring_.slots()} * kSlotBytes)) return true;
    // Cut to nothing between this look and the calls that made it longer.
    return first_slot_ != nullptr && header().trace_id != trace_id_;
}

int TraceFile::open_again() const noexcept
{
    const int fd = os::open(path_.c_str(), O_RDWR | O_NOFOLLOW);
    if (fd < 0) return fd;
    struct stat status{};
    if (os::status(fd, status) < 0 || status.st_dev != device_ || status.st_ino != inode_) {
        os::close(fd);
        return -ESTALE; // somebody moved the trace and put another file in its place
    }
    return fd;
}

void TraceFile::note_time(const Clock& clock) noexcept
{
    if (noting_time_.exchange(true, std::memory_order_acquire)) return; // somebody else is at it
    format::FileHeader& h = header();
    const uint32_t next = std::atomic_ref(h.latest_index).load(std::memory_order_relaxed) == 0 ? 1 : 0;
    h.latest[next] = clock.pair();
    std::atomic_ref(h.latest_index).store(next, std::memory_order_release);
    noting_time_.store(false, std::memory_order_release);
}

void TraceFile::cut_loose() noexcept
{
    const uint32_t end = mapped_end_.load(std::memory_order_relaxed);
    for (uint32_t i = 0; i < end; ++i) {
        const uint64_t slot = mapped_[i].load(std::memory_order_relaxed) & ~kLeaving;
        if (slot != 0) os::replace_mapping(reinterpret_cast<void*>(slot), kSlotBytes);
        mapped_[i].store(slot, std::memory_order_relaxed);
    }
}

void TraceFile::reset() noexcept
{
    const uint32_t end = mapped_end_.load(std::memory_order_relaxed);
    for (uint32_t i = 0; i < end; ++i) {
        const uint64_t slot = mapped_[i].exchange(0, std::memory_order_relaxed);
        if (slot != 0) os::unmap(reinterpret_cast<void*>(slot), kSlotBytes);
    }
    mapped_end_.store(0, std::memory_order_relaxed);
    was_cut_.store(false, std::memory_order_relaxed);
    first_slot_ = nullptr;
    slot_uses_ = 0;
    slots_with_room_ = 0;
    new_limit_.store(0, std::memory_order_relaxed);
    ring_.reset();
    error_ = 0;
    noting_time_.store(false, std::memory_order_relaxed);
    path_.clear();
}

} // namespace leak::preload
