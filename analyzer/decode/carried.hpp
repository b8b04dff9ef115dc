// The carried state of a wrapped trace (FORMAT.md, section 8): what its folded events were worth.
//
// One thread. Memory: what the file holds of it, decompressed.
#pragma once

#include "analyzer/decode/state_parts.hpp"
#include "analyzer/decode/thread_runs.hpp"
#include "format/carried.hpp"
#include "format/layout.hpp"

#include <array>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

namespace leak::analyzer {

struct CarriedState {
    struct Node {
        uint32_t caller = 0;
        uint32_t pc_id = 0;
    };
    struct Stack {
        uint32_t node = 0;
        format::StackTotals totals;                             // without what is live
        std::vector<std::pair<uint32_t, uint64_t>> lifetimes{}; // bucket, count
        std::vector<format::HistoryPoint> points{};
    };
    struct Pending {
        format::CarriedBlock block; // of no kind: the release matched no block
        uint64_t released = 0;      // stamp
        bool mismatched = false;
        bool valid = false;
    };
    struct Stream {
        uint32_t thread = 0;
        uint32_t level = 0;
        uint64_t sequence = 0; // folded are all buffers before this one, and
        uint32_t events = 0;   // so many of its events
        bool last_was_realloc_release = false;
        std::vector<Pending> pending;
    };
    struct LastAllocation {
        uint32_t thread = 0;
        uint64_t address = 0;
    };
    struct Mismatch {
        uint32_t node = 0;
        format::EventKind allocated_by{};
        format::EventKind released_by{};
        uint64_t blocks = 0;
        uint64_t bytes = 0;
    };
    struct Release {
        uint64_t address = 0;
        uint32_t thread = 0;
        format::EventKind kind{};
    };
    struct Range {
        uint64_t address = 0;
        uint64_t bytes = 0;
    };

    struct LatestRelease {
        uint64_t address = 0;
        uint32_t thread = 0;
        uint64_t before = 0; // stamps before the last folded event
    };

    uint64_t number = 0;
    uint64_t stamp = 0; // no event that was folded is later
    std::array<uint64_t, format::kCarriedTotals> totals{};
    std::array<uint64_t, format::kEventKindCount> events_by_kind{};
    std::vector<Node> nodes;                  // from 1; [0] is the empty stack
    std::vector<Stack> stacks;                // those that events had
    std::vector<format::CarriedBlock> blocks; // of the heap and of leak_alloc()
    std::vector<format::CarriedBlock> ranges; // mapped
    std::vector<Stream> streams;
    std::vector<std::pair<uint32_t, format::CarriedBlock>> unmapped; // by the last unmapping of a stream
    std::vector<LastAllocation> last_allocation;                     // not released since
    uint64_t threads = 0;                                            // before 3.5: so many are known
    std::vector<Mismatch> mismatches;
    std::vector<Release> unknown_releases; // of a forked child: perhaps of its parent's blocks
    std::vector<Range> unknown_ranges;
    // Of the whole process, by account number.
    std::vector<Stack> process;
    unsigned history_tick_log2 = 0;
    std::vector<uint64_t> journal;              // records whose slots were used again, each filled up to 8 bytes
    ThreadRuns forgotten;                       // ended, all folded: what there is of their streams is left over
    uint64_t forgotten_buffers = 0;             // of their streams
    std::vector<LatestRelease> latest_releases; // latest first

    [[nodiscard]] uint64_t total(format::CarriedTotal which) const { return totals[static_cast<size_t>(which)]; }
};

// The one of the header's references that holds; nothing before the first fold.
[[nodiscard]] std::optional<format::StateRef> carried_ref(const format::FileHeader& header);

// Reads the state that holds from its parts. Nothing before the first fold, or when it is damaged, which is added to
// `damage`.
[[nodiscard]] std::optional<CarriedState> read_carried(const FileReader& file, const format::FileHeader& header,
                                                       std::vector<StatePart> parts, DamageLog& damage);

} // namespace leak::analyzer
