// Replays a trace in time order and says what is left: the one entry from a trace file to the analyses.
#pragma once

#include "analyzer/decode/snapshot.hpp"
#include "analyzer/replay/stack_accounts.hpp"
#include "analyzer/replay/stack_table.hpp"
#include "analyzer/replay/trace_model.hpp"

#include <filesystem>
#include <functional>
#include <optional>
#include <vector>

namespace leak::analyzer {

// How often analyses are told the time.
inline constexpr int64_t kTickNs = 100'000'000;

// Called by the replay for every event that it could match, in time order; see DESIGN "Replay and analysis". Blocks are
// heap blocks, those of leak_alloc(), and mapped ranges (is_mapping(kind)); the two live in address spaces of their
// own.
class Analysis {
public:
    virtual ~Analysis() = default;
    // Also called when a release turns out not to have happened (a realloc that failed): with the block as it was.
    virtual void on_allocate(const LiveBlock& block) { static_cast<void>(block); }
    // released_by is none when the block was replaced by another at the same address, so that its release was missed.
    // Of a mapped range it may be a piece that goes. Inherited blocks were never given to on_allocate().
    virtual void on_release(const LiveBlock& block, int64_t at_ns, ThreadId thread, format::EventKind released_by)
    {
        static_cast<void>(block), static_cast<void>(at_ns), static_cast<void>(thread), static_cast<void>(released_by);
    }
    // At the first event behind each multiple of kTickNs, and once at the end. at_ns: the latest multiple passed; of
    // several that pass without an event there is one call.
    virtual void on_tick(int64_t at_ns) { static_cast<void>(at_ns); }
    virtual void finish(int64_t end_ns) { static_cast<void>(end_ns); }
};

// Pages that were not written from then on to the moment of the snapshot.
struct UnwrittenPages {
    format::PageRun run;
    int64_t since_ns = 0;
};

// A core dump of the process, to be read in place of the trace's snapshot.
struct CoreSource {
    std::filesystem::path path;
    std::optional<int64_t> at_ns = {}; // its moment; nothing: when the file was last written
};

// What is to be said of a core beside its memory.
struct CoreFacts {
    std::string path;
    uint32_t signal = 0;                    // that the process had got; 0: none
    bool is_damaged = false;                // threads, files or mappings may be missing
    bool knows_files = true;                // which files were mapped where
    bool is_late = false;                   // the file is younger than the process, which did not crash
    std::vector<std::string> other_modules; // of the trace, that the core has not where they should be
    uint64_t missing_bytes = 0;             // that it should have, or that can't be read
    uint64_t blocks_outside = 0;            // live blocks that lie in memory which the core does not have
    uint64_t bytes_outside = 0;
};

// The memory of the process at one moment, and what was live then.
struct MemoryView {
    MemoryImage image;
    std::optional<CoreFacts> core; // of a core; nothing: of the trace's snapshot
    int64_t at_ns = 0;
    std::vector<UnwrittenPages> unwritten; // by page; none: it is not known what was written when
    bool events_are_known = true;          // false: some up to then are folded, and what they released is not known
    std::vector<LiveBlock> blocks;         // heap blocks, inherited ones included, in order of allocation
    std::vector<LiveBlock> mapped;         // by address
};

struct ReplayResult {
    TraceInfo info;
    Totals totals;
    std::vector<Module> modules; // index = ModuleId value; [0] is the unknown module
    std::vector<Thread> threads; // by id: those the trace still names, and those with events in it
    StackTable stacks;
    StackAccounts accounts;         // of the process's own blocks, without inherited ones
    std::vector<LiveBlock> unfreed; // heap blocks live at the end, without inherited ones, in order of allocation
    std::vector<LiveBlock> mapped;  // mmap ranges live at the end, without inherited ones, by address
    std::vector<ProcessSample> samples;
    uint64_t inherited_blocks = 0; // blocks of the parent that are live at the end
    uint64_t inherited_bytes = 0;
    std::vector<Mismatch> mismatches;
    std::optional<MemoryView> memory; // where it was wanted and there is a snapshot
};

struct ReplayOptions {
    // Called now and then with the share done, 0..1, for a progress display; may be empty.
    std::function<void(double)> on_progress = {};
    std::vector<Analysis*> analyses = {};
    // Moments, ascending, at which on_moment is called with the number of the moment and what was live then: before the
    // first event behind it, or at the end of the trace.
    std::vector<int64_t> moments_ns = {};
    std::function<void(size_t, const std::vector<LiveBlock>&)> on_moment = {};
    bool wants_memory = false;           // ReplayResult::memory
    std::optional<CoreSource> core = {}; // where to take it from, where wanted; nothing: the trace's snapshot
};

// Throws UserError when `path`, or the core, can't be used at all. Damage and gaps are in the result.
[[nodiscard]] ReplayResult replay_trace(const std::filesystem::path& path, const ReplayOptions& options = {});

} // namespace leak::analyzer
