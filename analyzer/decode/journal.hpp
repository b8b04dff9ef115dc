// What the journal of a trace says: process, modules, threads, marks (FORMAT.md, section 7).
//
// One thread. Memory is bounded by the bytes of the journal in the file.
#pragma once

#include "analyzer/decode/damage_log.hpp"
#include "analyzer/decode/frame_walk.hpp"
#include "analyzer/decode/stamp_clock.hpp"
#include "analyzer/replay/trace_model.hpp"

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace leak::analyzer {

struct JournalRecord {
    format::RecordType type{};
    uint16_t flags = 0;
    uint64_t stamp = 0;
    uint64_t offset = 0; // in the file
    std::vector<std::byte> payload;
};

// Appends the records of one journal frame whose checksums hold to `records`. Returns the offset in the frame at which
// they end: where the next one would begin.
size_t read_journal_frame(const FrameView& frame, std::vector<JournalRecord>& records, DamageLog& damage);

// The same of records that follow one another in memory; `offset` is what they are said to be at.
size_t read_journal_records(std::span<const std::byte> bytes, uint64_t offset, bool is_cut,
                            std::vector<JournalRecord>& records, DamageLog& damage);

// Where a forked process came from.
struct ParentLink {
    uint64_t trace_id = 0;
    uint32_t pid = 0;
    uint64_t fork_stamp = 0;
    std::string path; // of the parent's trace, as the parent named it
};

struct JournalFacts {
    std::string exe;
    std::string working_directory;
    std::vector<std::string> args;
    std::vector<std::string> settings;
    std::string exec_path;
    std::vector<Mark> marks;
    std::vector<StackDifference> differences;
    std::vector<std::pair<int64_t, int64_t>> paused; // an open end is INT64_MAX
    std::vector<Module> modules;                     // index = ModuleId; [0] is the unknown module
    std::vector<Thread> threads;                     // by id: those that are named
    std::optional<ParentLink> parent;
};

struct JournalContext {
    const StampConverter& clock;
    const std::string& path; // of the trace, for errors
    uint64_t file_bytes;     // bounds the modules: ids are dense, so no sound one is larger than the file has room for
    uint64_t thread_bound;   // thread_bound()
};

// Puts the records in time order and reads them; one that is there twice counts once. Throws UserError for a sound
// record of a type this version does not know and that is not marked ignorable.
[[nodiscard]] JournalFacts read_journal(std::vector<JournalRecord> records, const JournalContext& context,
                                        DamageLog& damage);

// The largest module index a file of this size can hold with any right, and without others the largest thread index.
[[nodiscard]] constexpr uint64_t index_bound(uint64_t file_bytes)
{
    constexpr uint64_t kAlways = 4096;
    constexpr uint64_t kMost = uint64_t{4} * 1024 * 1024;
    const uint64_t bound = kAlways + file_bytes / 64;
    return bound < kMost ? bound : kMost;
}

// The largest thread index: what is said of threads that ended may be gone from the file.
[[nodiscard]] constexpr uint64_t thread_bound(uint64_t file_bytes, uint64_t threads_created)
{
    constexpr uint64_t kMost = UINT32_MAX - 1;
    const uint64_t bound = index_bound(file_bytes);
    return threads_created < kMost - bound ? bound + threads_created : kMost;
}

} // namespace leak::analyzer
