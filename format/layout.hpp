// The bytes of a trace file: constants and fixed structures, as FORMAT.md describes them.
//
// Included by both sides (preload/ writes, analyzer/ reads). Plain data only: no allocation, no exceptions, safe in a
// hook. All integers are little-endian; every structure is placed at an 8-byte boundary of the file.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace leak::format {

static_assert(std::endian::native == std::endian::little, "the trace is written and read in place, little-endian");

// -- Frames --

// Our frames are zstd skippable frames (RFC 8878, 3.1.2): a magic, the bytes that follow it, and content zstd ignores.
inline constexpr uint32_t kFrameMagic = 0x184D2A5B;
// Padding: a skippable frame with another magic and no meaning. The smallest is 8 bytes.
inline constexpr uint32_t kPaddingMagic = 0x184D2A5C;
inline constexpr uint32_t kZstdMagic = 0xFD2FB528;
inline constexpr uint32_t kFrameTag = 0x4B41454C; // "LEAK"
inline constexpr uint32_t kSkippablePrefixBytes = 8;

inline constexpr uint16_t kVersionMajor = 3;
inline constexpr uint16_t kVersionMinor = 6;

// The last minor version that is known of a major one.
[[nodiscard]] constexpr uint16_t newest_minor(uint16_t major) noexcept
{
    return major == 1 ? 1 : major == 2 ? 0 : kVersionMinor;
}

enum class FrameKind : uint16_t {
    slot = 1,
    header = 2,
    raw_events = 3,
    events = 4,
    pcs = 5,
    journal = 6,
    carried_before_3_5 = 7, // readers of before 3.5 would take for new what is left of threads that were forgotten
    samples = 8,
    snapshot = 9,
    event_rows = 10,
    carried = 11,
};

// Whose frames begin with a PartHeader.
[[nodiscard]] constexpr bool has_part_header(FrameKind kind) noexcept
{
    return kind == FrameKind::carried || kind == FrameKind::carried_before_3_5 || kind == FrameKind::snapshot;
}

// A reader that does not know the kind of a frame or journal record skips it when this flag is set, else refuses.
inline constexpr uint16_t kIgnorable = 1;

struct FrameHeader {
    uint32_t magic;
    uint32_t content_bytes; // what follows these first 8 bytes
    uint32_t tag;
    FrameKind kind;
    uint16_t flags;
};
static_assert(sizeof(FrameHeader) == 16);

struct PaddingHeader {
    uint32_t magic;
    uint32_t content_bytes;
};
static_assert(sizeof(PaddingHeader) == kSkippablePrefixBytes);

// Bytes of the whole frame, prefix included.
[[nodiscard]] constexpr uint64_t frame_bytes(const FrameHeader& frame) noexcept
{
    return uint64_t{frame.content_bytes} + kSkippablePrefixBytes;
}

[[nodiscard]] constexpr FrameHeader make_frame(FrameKind kind, uint64_t whole_bytes, uint16_t flags = 0) noexcept
{
    return {kFrameMagic, static_cast<uint32_t>(whole_bytes - kSkippablePrefixBytes), kFrameTag, kind, flags};
}

[[nodiscard]] constexpr PaddingHeader make_padding(uint64_t whole_bytes) noexcept
{
    return {kPaddingMagic, static_cast<uint32_t>(whole_bytes - kSkippablePrefixBytes)};
}

// -- Slots --

inline constexpr uint32_t kSlotBytes = 256 * 1024;
inline constexpr uint32_t kMinSlotBytes = 64 * 1024;
inline constexpr uint32_t kMaxSlotBytes = 16 * 1024 * 1024;

enum class SlotKind : uint32_t {
    free = 0,
    start = 1,
    raw_events = 2,
    events = 3,
    pcs = 4,
    journal = 5,
    carried = 6,
    samples = 7,
    snapshot = 8,
};
inline constexpr uint32_t kSlotKindCount = 9;

// First frame of every slot. Rewritten when the slot changes its use.
struct SlotHeader {
    FrameHeader frame;
    uint64_t trace_id; // FileHeader::trace_id
    uint64_t sequence; // counts the uses of slots in this file, from 1
    SlotKind kind;
    uint32_t owner_tid;
    uint64_t reserved[2];
    uint32_t reserved2;
    uint32_t checksum; // of the bytes before it
};
static_assert(sizeof(SlotHeader) == 64);

// -- Slot 0 --

// Slot 0 holds what a small program needs, so that its whole trace is one slot.
inline constexpr uint32_t kFileHeaderOffset = sizeof(SlotHeader);
inline constexpr uint32_t kOthersJournalOffset = 4096; // since 3.3; before that the first journal was there
inline constexpr uint32_t kFirstJournalOffset = 12 * 1024;
inline constexpr uint32_t kFirstPcsOffset = 64 * 1024;
inline constexpr uint32_t kFirstRawOffset = 128 * 1024;
inline constexpr uint32_t kRawBufferBytes = 64 * 1024;
inline constexpr uint32_t kMaxRawBufferBytes = 256 * 1024;
inline constexpr uint32_t kMaxColumnBytes = 2 * 1024 * 1024; // of the events of a raw buffer, all columns

// tsc_64, tsc_128: the time-stamp counter divided by 64 (since 1.1), by 128 (since 3.6; releases may be early).
enum class StampClock : uint32_t { tsc = 1, monotonic_ns = 2, tsc_64 = 3, tsc_128 = 4 };

// Of a clock that is the time-stamp counter: log2 of the ticks of a stamp.
[[nodiscard]] constexpr unsigned tsc_shift(StampClock clock) noexcept
{
    return clock == StampClock::tsc_128 ? 7 : clock == StampClock::tsc_64 ? 6 : 0;
}

// How the process ended, as far as it could say so itself.
enum class EndState : uint32_t {
    open = 0,         // running, or killed, or crashed
    exit_started = 1, // exit() reached our handler; events may follow
    fast_exit = 2,    // _exit, _Exit or quick_exit
    exec = 3,         // replaced by another program, which has a trace of its own
};

enum class LossCause : uint32_t {
    none = 0,
    no_space = 1,      // the file could not grow
    nested_signal = 2, // a signal handler interrupted our own critical section
    no_memory = 3,     // no memory for the tracer's own state
    internal = 4,
    overflow = 5,  // no buffer was free, and the program did not want to wait for one
    truncated = 6, // somebody cut the file
};

// A stamp and CLOCK_MONOTONIC read together; two of them calibrate the stamp clock.
struct ClockPair {
    uint64_t stamp;
    uint64_t monotonic_ns;
};

// The carried state that holds: what the events were worth that are no longer in the file (or are, but count no more).
// Or the snapshot that holds. Both are streams of numbers, cut into parts.
struct StateRef {
    uint64_t number; // of the fold, or the snapshot, that made it, from 1; 0: none yet
    uint64_t stamp;  // no event that was folded is later; of a snapshot the moment that it shows
    uint64_t bytes;  // of the stream, decompressed
    uint32_t parts;
    uint32_t checksum; // of the bytes before it
};
static_assert(sizeof(StateRef) == 32);

// Why there is no snapshot of a moment that was to have one.
enum class SnapshotFailure : uint32_t {
    none = 0,
    off = 1,       // LEAK_SNAPSHOT=off
    no_room = 2,   // in the ring, or on the disk
    no_memory = 3, // for a copy of the process
    killed = 4,    // the copy was, or it did not come to an end
    stopped = 5,   // recording is off
};

struct FileHeader {
    FrameHeader frame;
    // Written once, before the file is visible under its name.
    uint16_t version_major;
    uint16_t version_minor;
    uint32_t slot_bytes;
    uint64_t trace_id;   // random, never 0
    uint64_t ring_bytes; // 0: unbounded
    uint32_t pid;
    uint32_t parent_pid;
    StampClock stamp_clock;
    uint32_t elf_machine; // EM_X86_64 ...
    uint64_t start_unix_ns;
    ClockPair start;
    uint64_t process_start_ticks; // field 22 of /proc/self/stat: with boot_id tells whether the process still runs
    uint8_t boot_id[16];
    uint32_t depth_limit;        // frames kept of a stack
    uint32_t immutable_checksum; // of the bytes from `version_major` to here
    // Changed while the process runs; each field is stored whole.
    ClockPair latest[2];   // written in turn
    uint32_t latest_index; // which of `latest` is valid; 2: none yet
    EndState end_state;
    uint64_t end_stamp;
    int32_t exit_status;  // when known
    LossCause loss_cause; // of the first loss
    uint64_t loss_first_stamp;
    uint64_t lost_events; // not recorded anywhere else in the file
    uint64_t threads_created;
    uint64_t writer_cpu_ns;
    // From here on not in version 1.0.
    uint64_t slot_count;        // stored when a new slot is whole; a shorter file was cut
    uint64_t libunwind_stacks;  // stacks that the preload's own unwinder left to libunwind
    uint64_t verified_stacks;   // compared with libunwind's (LEAK_UNWIND=verify)
    uint64_t stack_differences; // of those, the ones that were not the same
    // From here on not before version 3.1.
    StateRef carried[2];    // written in turn
    uint32_t carried_index; // which of them holds. One store, when the state is whole
    uint32_t reserved;
    // From here on not before version 3.2.
    uint64_t sample_bytes; // LEAK_SAMPLE: one sample every so many bytes; 0: everything is recorded
    uint64_t sample_check; // its complement: all numbers depend on it
    // From here on not before version 3.4.
    StateRef snapshots[2];            // written in turn
    uint32_t snapshot_index;          // which of them holds. One store, when the snapshot is whole
    uint32_t snapshot_wanted;         // counted up by others who want one; a futex that they wake
    uint32_t snapshot_answered;       // the last value of snapshot_wanted that was seen to, well or not
    SnapshotFailure snapshot_failure; // of the last snapshot that was tried
};
// Bytes of the file header as a version has it.
[[nodiscard]] constexpr size_t file_header_bytes(uint16_t major, uint16_t minor) noexcept
{
    if (major == 1 && minor == 0) return offsetof(FileHeader, slot_count);
    if (major < 3 || (major == 3 && minor == 0)) return offsetof(FileHeader, carried);
    if (major == 3 && minor == 1) return offsetof(FileHeader, sample_bytes);
    if (major == 3 && minor < 4) return offsetof(FileHeader, snapshots);
    return sizeof(FileHeader);
}
static_assert(sizeof(FileHeader) + kFileHeaderOffset <= kOthersJournalOffset);
static_assert(std::is_trivially_copyable_v<FileHeader>);

// -- Events --

// The fields of a chunk's events lie in columns, one behind the other; see event_encoder.hpp.
enum class Column : uint32_t { op, stamp, address, size, stack, pc, extra };
inline constexpr uint32_t kColumnCount = 7;

enum class BufferState : uint32_t { free = 0, active = 1, full = 2 };

// A thread's events as they are made, in rows (event_rows.hpp) behind the header. One stream is one thread at one
// nesting level (a signal handler that interrupts the recording of an event writes to the next level); its buffers and
// chunks are numbered without holes.
struct RawBufferHeader {
    FrameHeader frame;
    BufferState state;
    uint32_t generation; // odd while the buffer is being taken into use
    uint32_t thread_index;
    uint32_t level;
    uint64_t stream_sequence;
    uint64_t base_stamp;
    uint64_t written; // low half: the end of the rows, from the start of this frame; high half: how many. One store
    uint64_t reserved;
};
static_assert(sizeof(RawBufferHeader) == 64);

// The same before version 3: columns, as in a chunk. Read, not written.
struct RawColumnsHeader {
    FrameHeader frame;
    BufferState state;
    uint32_t generation;
    uint32_t thread_index;
    uint32_t level;
    uint64_t stream_sequence;
    uint64_t base_stamp;
    uint32_t column_begin[kColumnCount + 1]; // offsets from the start of this frame; the last is the end
    uint32_t column_end[kColumnCount];       // cursors: where the next byte of the column goes
    uint32_t event_count;                    // stored last: events below it are whole
    uint32_t reserved;
    uint64_t last_stamp;
};
static_assert(sizeof(RawColumnsHeader) == 128);

// Heads the zstd data frames that hold a raw buffer's events: of the kind `events` in columns, one after the other; of
// the kind `event_rows` (since 3.5) the rows as they were made.
struct EventChunkHeader {
    FrameHeader frame;
    uint32_t thread_index;
    uint32_t level;
    uint64_t stream_sequence;
    uint64_t base_stamp;
    uint64_t last_stamp;
    uint32_t event_count;
    uint32_t compressed_bytes;           // of the zstd frames that follow this frame
    uint32_t column_bytes[kColumnCount]; // of rows: the first is what all take, the others are 0
    uint32_t checksum;                   // of the bytes before it
};
static_assert(sizeof(EventChunkHeader) % 8 == 0);

[[nodiscard]] constexpr bool is_chunk(FrameKind kind) noexcept
{
    return kind == FrameKind::events || kind == FrameKind::event_rows;
}

// -- The carried state, and snapshots --

// Heads a zstd data frame with a part of a stream of numbers (number_stream.hpp), which is cut into parts anywhere. See
// carried.hpp, snapshot.hpp.
struct PartHeader {
    FrameHeader frame; // of the kind carried, or snapshot
    uint64_t number;   // StateRef::number
    uint32_t part;     // from 0
    uint32_t plain_bytes;
    uint32_t compressed_bytes; // of the zstd frame that follows this frame
    uint32_t checksum;         // of the bytes before it
};
static_assert(sizeof(PartHeader) == 40);
inline constexpr uint32_t kMaxPartBytes = 64 * 1024;

// -- Samples of the process --

// SampleRecord::known: which of its fields were asked for.
inline constexpr uint32_t kSampleRss = 1;
inline constexpr uint32_t kSampleRollup = 2; // pss, swap, anonymous
inline constexpr uint32_t kSampleFaults = 4;
inline constexpr uint32_t kSampleAllocator = 8; // the fields from arena_bytes to top_bytes
// Since 3.3; there is one.
inline constexpr uint32_t kSampleMemoryLimit = 16;
inline constexpr uint32_t kSampleAddressSpaceLimit = 32;
inline constexpr uint64_t kLimitPageBytes = 4096;

struct SampleRecord {
    uint64_t stamp; // stored last; 0: none
    uint64_t known;
    uint64_t rss_bytes; // /proc/self/statm
    uint64_t pss_bytes; // /proc/self/smaps_rollup
    uint64_t swap_bytes;
    uint64_t anonymous_bytes;
    uint64_t minor_faults; // getrusage(), since the start
    uint64_t major_faults;
    uint64_t arena_bytes;               // glibc's mallinfo2: taken from the kernel for arenas
    uint64_t mmapped_bytes;             // of blocks that are mapped one by one
    uint64_t used_bytes;                // of arenas, given to the program
    uint64_t free_bytes;                // of arenas, free
    uint64_t top_bytes;                 // of them, at the top of the main arena
    uint64_t memory_limit_bytes;        // of the control groups that the process is in: the smallest
    uint32_t address_space_limit_pages; // RLIMIT_AS in whole pages, as the kernel compares it
    uint32_t checksum;                  // of the bytes before it
};
static_assert(sizeof(SampleRecord) == 120);

// Followed by two halves of `capacity` samples each, of which one holds: in order of time, up to the first with stamp
// 0.
struct SamplesHeader {
    FrameHeader frame;
    uint32_t capacity;
    uint32_t current; // 0 or 1: the half that holds
};
static_assert(sizeof(SamplesHeader) == 24);
inline constexpr uint32_t kSamplesPerHalf =
    (kSlotBytes - sizeof(SlotHeader) - sizeof(SamplesHeader)) / sizeof(SampleRecord) / 2; // as they are written

// -- Code addresses --

inline constexpr uint32_t kNoModule = 0;

struct PcEntry {
    uint64_t address;      // a return address; stored last, 0: not in use yet
    uint32_t module_index; // the module mapped there when the pc was first seen, or kNoModule
    uint32_t reserved;
};
static_assert(sizeof(PcEntry) == 16);

// Followed by `capacity` entries: the pcs with the ids first_id, first_id + 1, ... Id 0 names no pc.
struct PcsHeader {
    FrameHeader frame;
    uint32_t first_id;
    uint32_t capacity;
};
static_assert(sizeof(PcsHeader) == 24);

// -- Journal --

enum class RecordType : uint16_t {
    process = 1,           // exe NUL cwd NUL arg NUL arg NUL ...
    parent = 2,            // ParentRecord, path of the parent's trace; stamp: the moment of the fork
    module_loaded = 3,     // ModuleRecord, segments, build-id, path
    module_unloaded = 4,   // u32 module index
    thread_started = 5,    // ThreadRecord, name
    thread_named = 6,      // ThreadRecord, name
    thread_ended = 7,      // ThreadRecord
    mark = 8,              // text
    recording_started = 9, // nothing
    recording_stopped = 10,
    exec = 11,             // path of the program
    setting = 12,          // NAME=value, as the process found it
    stack_difference = 13, // StackDifferenceRecord, pcs of the preload's stack, pcs of libunwind's; ignorable
};

// Who appends to a journal frame. The process leaves the one of others alone; those take a lock on the file (flock).
enum class JournalOwner : uint32_t { process = 0, others = 1 };

struct JournalHeader {
    FrameHeader frame;
    JournalOwner owner; // since 3.3; before that 0
    uint32_t reserved;
};
static_assert(sizeof(JournalHeader) == 24);
inline constexpr uint32_t kMostMarkBytes = 120; // of the text of a mark by others

// Records follow one another at 8-byte boundaries; the first with bytes == 0 ends the journal frame.
struct RecordHeader {
    uint32_t bytes;    // header and payload, without padding; stored last
    uint32_t checksum; // of the bytes behind it, payload included
    RecordType type;
    uint16_t flags;
    uint32_t reserved;
    uint64_t stamp;
};
static_assert(sizeof(RecordHeader) == 24);

struct ParentRecord {
    uint64_t trace_id;
    uint32_t pid;
    uint32_t reserved;
};

struct SegmentRecord {
    uint64_t start; // absolute address
    uint64_t end;
    uint32_t flags; // PF_R, PF_W, PF_X
    uint32_t reserved;
};

struct ModuleRecord {
    uint32_t module_index; // from 1; never used again in the same trace
    uint32_t segment_count;
    uint64_t bias;  // absolute address - address in the file's program headers
    uint64_t start; // absolute, lowest
    uint64_t end;   // absolute, one past the highest
    uint32_t build_id_bytes;
    uint32_t path_bytes;
};

struct ThreadRecord {
    uint32_t thread_index; // from 0; never used again in the same trace
    uint32_t tid;
};

// Behind it the return addresses of both stacks as u64, each innermost first.
struct StackDifferenceRecord {
    uint32_t walked_frames;
    uint32_t libunwind_frames;
};
inline constexpr uint32_t kMostDifferencesNoted = 8;

inline constexpr uint32_t kMaxBuildIdBytes = 64;
inline constexpr uint32_t kMaxStackDepth = 1024;

[[nodiscard]] constexpr uint64_t align8(uint64_t bytes) noexcept
{
    return (bytes + 7) & ~uint64_t{7};
}

} // namespace leak::format
