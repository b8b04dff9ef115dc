// What a trace says about its process, resolved to plain values: the input of analyses and reports.
//
// Times are nanoseconds since the start of the trace; sizes are bytes.
#pragma once

#include "analyzer/ids.hpp"
#include "format/event.hpp"
#include "format/layout.hpp"
#include "format/sampling.hpp"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace leak::analyzer {

// A code address as the trace names it: a return address and the module that was mapped there at that time.
struct Pc {
    uint64_t address = 0;
    ModuleId module;
    friend bool operator==(const Pc&, const Pc&) = default;
};

struct Segment {
    uint64_t start = 0; // absolute
    uint64_t end = 0;
    uint32_t flags = 0; // PF_R | PF_W | PF_X
};

struct Module {
    ModuleId id;
    std::string path;
    std::vector<uint8_t> build_id; // empty: the file has none
    uint64_t bias = 0;             // address - bias is the address in the file
    uint64_t start = 0;
    uint64_t end = 0;
    std::vector<Segment> segments;
    int64_t loaded_ns = 0;
    std::optional<int64_t> unloaded_ns;
};

struct Thread {
    ThreadId id;
    uint32_t tid = 0;
    std::string name; // the last one it had
    int64_t started_ns = 0;
};

// threads: by id. nullptr: it is not known, or was forgotten.
[[nodiscard]] inline const Thread* find_thread(std::span<const Thread> threads, ThreadId id)
{
    const auto at = std::ranges::lower_bound(threads, id, {}, &Thread::id);
    return at == threads.end() || at->id != id ? nullptr : &*at;
}

// What the kernel charged the process and its allocator held at a moment; nothing where it was not asked.
struct ProcessSample {
    int64_t at_ns = 0;
    std::optional<uint64_t> rss_bytes;
    std::optional<uint64_t> pss_bytes;
    std::optional<uint64_t> swap_bytes;
    std::optional<uint64_t> anonymous_bytes;
    std::optional<uint64_t> minor_faults; // since the start
    std::optional<uint64_t> major_faults;
    // glibc's malloc, as mallinfo2() has it.
    std::optional<uint64_t> arena_bytes;   // taken from the kernel for arenas
    std::optional<uint64_t> mmapped_bytes; // of blocks that are mapped one by one
    std::optional<uint64_t> used_bytes;    // of arenas, given to the program
    std::optional<uint64_t> free_bytes;    // of arenas, free
    std::optional<uint64_t> top_bytes;     // of them, at the top of the main arena
    // Nothing, too, where there is none.
    std::optional<uint64_t> memory_limit_bytes;        // of its control groups: the smallest
    std::optional<uint64_t> address_space_limit_bytes; // RLIMIT_AS in whole pages
};

// All of them, in their order.
inline constexpr std::optional<uint64_t> ProcessSample::* kSampleFigures[] = {
    &ProcessSample::rss_bytes,
    &ProcessSample::pss_bytes,
    &ProcessSample::swap_bytes,
    &ProcessSample::anonymous_bytes,
    &ProcessSample::minor_faults,
    &ProcessSample::major_faults,
    &ProcessSample::arena_bytes,
    &ProcessSample::mmapped_bytes,
    &ProcessSample::used_bytes,
    &ProcessSample::free_bytes,
    &ProcessSample::top_bytes,
    &ProcessSample::memory_limit_bytes,
    &ProcessSample::address_space_limit_bytes};
inline constexpr const char* kSampleFigureNames[] = {"rss_bytes",
                                                     "pss_bytes",
                                                     "swap_bytes",
                                                     "anonymous_bytes",
                                                     "minor_faults",
                                                     "major_faults",
                                                     "arena_bytes",
                                                     "mmapped_bytes",
                                                     "used_bytes",
                                                     "free_bytes",
                                                     "top_bytes",
                                                     "memory_limit_bytes",
                                                     "address_space_limit_bytes"};

struct Mark {
    int64_t at_ns = 0;
    std::string text;
};

// Something that could not be read, or is known to be missing. Never an error: reports count and print these.
struct Damage {
    uint64_t offset = 0;      // in the file
    std::string what;         // "chunk checksum is wrong", ...
    uint64_t lost_events = 0; // where known
};

// A stack on which the preload's own unwinder and libunwind did not agree (LEAK_UNWIND=verify); innermost first.
struct StackDifference {
    int64_t at_ns = 0;
    std::vector<Pc> walked;
    std::vector<Pc> libunwind;
};

// Blocks that are known by their stacks alone, because the ring had no room for each.
struct Unlisted {
    uint64_t blocks = 0;
    uint64_t bytes = 0;
    uint64_t max_bytes = 0; // the largest of them
    uint64_t releases = 0;  // since then, of unknown addresses: perhaps of some of them
};

struct TraceInfo {
    std::string path;
    uint64_t trace_id = 0;
    uint32_t pid = 0;
    uint32_t parent_pid = 0;
    std::string exe;
    std::string working_directory;
    std::vector<std::string> args;
    std::vector<std::string> settings; // LEAK_X=value, as the process found them
    uint64_t start_unix_ns = 0;
    int64_t duration_ns = 0; // to the last event
    int64_t ended_ns = 0;    // when the process said that it ends; 0: it did not
    format::EndState end_state = format::EndState::open;
    std::optional<int32_t> exit_status;
    bool still_running = false;
    bool complete = false;   // the process said how it ended, and nothing of the file is damaged
    uint64_t gap_events = 0; // events known to be missing
    format::LossCause loss_cause = format::LossCause::none;
    std::optional<int64_t> loss_first_ns;
    std::vector<Damage> damage;
    std::string parent_trace_path; // empty: not forked from a traced process
    bool parent_found = false;     // the parent's trace was read, its blocks are known
    std::optional<int64_t> fork_ns;
    std::string exec_path;                           // end_state exec: what replaced it
    std::vector<std::pair<int64_t, int64_t>> paused; // [from, to): recording was off by the user's wish
    uint32_t depth_limit = 0;
    uint64_t file_bytes = 0;
    uint64_t sample_bytes = 0;          // LEAK_SAMPLE: numbers are estimates; 0: everything was recorded
    uint64_t ring_bytes = 0;            // the bound of the file; 0: none
    uint64_t snapshot_number = 0;       // of the one that holds, from 1
    std::optional<int64_t> snapshot_ns; // its moment
    format::SnapshotFailure snapshot_failure = format::SnapshotFailure::none; // of the last one that was tried
    std::optional<int64_t> folded_ns; // events up to here are no longer in the file: folded
    Unlisted unlisted;                // found by the replay
    uint64_t writer_cpu_ns = 0;
    uint64_t uncompressed_events = 0;         // in the file: there was no processor to spare for compression
    uint64_t libunwind_stacks = 0;            // stacks that the preload's own unwinder left to libunwind
    uint64_t verified_stacks = 0;             // compared with libunwind's
    uint64_t stack_differences = 0;           // of those
    std::vector<StackDifference> differences; // the first few
    std::vector<Mark> marks;
};

// A block (or mapped range) that was live at the moment asked for.
struct LiveBlock {
    uint64_t address = 0;
    uint64_t bytes = 0;
    int64_t allocated_ns = 0;
    uint64_t stamp = 0; // of the allocation
    StackId stack;
    ThreadId thread;
    format::EventKind kind = format::EventKind::none;
    uint8_t alignment_log2 = 0; // 0: the default
    bool truncated_stack = false;
    bool inherited = false; // allocated by the parent before the fork
    // So many of one stack where that alone is known of them: no address, no thread, the sum of the bytes, the first
    // time.
    uint64_t blocks = 1;
};

// What a live block stands for: itself, or in a sampled trace more (format/sampling.hpp).
[[nodiscard]] inline format::Amount amount_of(const LiveBlock& block, uint64_t sample_bytes)
{
    const bool is_chosen = is_heap_allocation(block.kind) && block.kind != format::EventKind::custom_alloc;
    if (is_chosen && block.blocks == 1) return format::weigh(block.bytes, sample_bytes);
    const format::Amount one = format::unweighed(block.bytes, sample_bytes);
    return {one.blocks * block.blocks, one.bytes};
}

struct Totals {
    uint64_t allocations = 0; // heap blocks, leak_alloc() included; mappings are not
    uint64_t releases = 0;
    uint64_t allocated_bytes = 0;
    uint64_t peak_bytes = 0; // most live bytes at any time
    int64_t peak_ns = 0;
    uint64_t temporary_allocations = 0; // freed by the same thread before its next allocation
    uint64_t unmatched_releases = 0;    // of addresses that no known allocation gave
    uint64_t replaced_blocks = 0;       // allocated again although no release was seen
    uint64_t mismatches = 0;            // new released by free, and the like
    uint64_t mapped_bytes = 0;          // live mmap ranges at the end
    uint64_t peak_mapped_bytes = 0;
    uint64_t threads = 0;
    uint64_t stacks = 0; // distinct
    uint64_t events_by_kind[format::kEventKindCount] = {};
};

// Blocks allocated by one function and released by another of a different family.
struct Mismatch {
    StackId stack; // of the allocation
    format::EventKind allocated_by = format::EventKind::none;
    format::EventKind released_by = format::EventKind::none;
    uint64_t blocks = 0;
    uint64_t bytes = 0;
};

} // namespace leak::analyzer
