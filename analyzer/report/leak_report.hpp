// What `leakan report` says about one trace, as plain data for the renderers.
//
// One thread.
#pragma once

#include "analyzer/report/growth.hpp"
#include "analyzer/report/retention.hpp"
#include "analyzer/report/site.hpp"
#include "analyzer/report/stack_sites.hpp"

#include <string>
#include <vector>

namespace leak::analyzer {

struct MismatchSite {
    format::EventKind allocated_by = format::EventKind::none;
    format::EventKind released_by = format::EventKind::none;
    uint64_t blocks = 0;
    uint64_t bytes = 0;
    std::vector<Frame> frames; // of the allocation
};

// A module in the stacks shown whose frames have no names or no lines.
struct MissingSymbols {
    std::string module;
    ModuleSymbols symbols;
};

// Of the snapshot, or the core in its place.
struct SnapshotFacts {
    int64_t at_ns = 0;
    bool events_are_known = true;
    std::array<uint64_t, format::kSnapshotFigures> figures{};
    std::optional<CoreFacts> core;
};

struct LeakReportOptions {
    SiteOptions sites;
    std::optional<RankBy> stacks; // list what each stack did, ordered so
    bool growth = true;
    bool retention = true;
};

struct LeakReport {
    TraceInfo info;
    std::optional<int64_t> at_ns; // the moment it is about; nothing: the end
    Totals totals;
    GroupBy by = GroupBy::stack; // of unfreed
    Grouping unfreed;
    Grouping mapped;
    std::vector<MismatchSite> mismatches; // most blocks first
    std::vector<SuppressedCount> suppressed;
    uint64_t suppressed_blocks = 0;
    uint64_t suppressed_bytes = 0;
    uint64_t inherited_blocks = 0;
    uint64_t inherited_bytes = 0;
    uint64_t mapped_ranges = 0;
    std::optional<RankBy> stacks_by;
    std::vector<StackSite> stacks;               // where asked for
    std::optional<ProcessSample> last_sample;    // with the latest that is known of each figure
    std::vector<MissingSymbols> missing_symbols; // by path
    GrowthReport growth;
    std::optional<RetentionReport> retention; // where looked for
    std::optional<SnapshotFacts> snapshot;    // that the classes of blocks are from
};

[[nodiscard]] LeakReport make_leak_report(const ReplayResult& trace, Symbolizer& symbolizer, Suppressions suppressions,
                                          const LeakReportOptions& options);

} // namespace leak::analyzer
