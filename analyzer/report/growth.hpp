// Growth after load stops: when the program was under load, what each site's memory did when the load stopped, and why
// the process is as large as it is.
//
// One thread. Memory grows with the distinct stacks and the history of bounded size, not with the run.
#pragma once

#include "analyzer/analysis/growth_verdict.hpp"
#include "analyzer/analysis/heap_pages.hpp"
#include "analyzer/analysis/phases.hpp"
#include "analyzer/replay/replay.hpp"
#include "analyzer/report/suppressions.hpp"
#include "analyzer/symbolize/symbolizer.hpp"

#include <cstdint>
#include <optional>
#include <vector>

namespace leak::analyzer {

struct GrowthOptions {
    GrowthRules rules = {};
    std::vector<Phase> phases = {};             // as the user says them; empty: by marks, else found
    size_t depth = 0;                           // frames that count, from the innermost; 0: all
    const Suppressions* suppressions = nullptr; // stacks that they hide are left out
};

struct GrowthSite {
    SiteGrowth growth;
    std::vector<Frame> frames; // innermost first
    size_t stacks = 1;         // more: so many that have only these innermost frames in common
    bool is_mapped = false;    // what it holds at the end are ranges from mmap
};

// Why the process is larger than before the load.
enum class GrowthCause : uint8_t {
    unknown,       // what the kernel charged was not asked often enough
    none,          // it is not
    returned,      // it was, and gave most of it back
    program,       // the program holds it
    mapped,        // as ranges from mmap
    allocator,     // the allocator keeps it, free
    fragmentation, // the same, but live blocks lie in between
};

// The three layers at one moment: what the program holds, and what allocator and kernel said last before it.
struct Layers {
    const char* moment = ""; // "before load", "load stop", "end"
    int64_t at_ns = 0;
    uint64_t live_bytes = 0;
    uint64_t live_blocks = 0;
    uint64_t mapped_bytes = 0;           // by the program itself
    uint64_t allocator_mapped_bytes = 0; // by a library that replaces malloc
    ProcessSample sample;                // with the latest of each figure up to then
};

struct ProcessGrowth {
    GrowthCause cause = GrowthCause::unknown;
    std::vector<Layers> at;
    uint64_t rss_before_bytes = 0; // the load; where nobody asked then, by what was known later
    uint64_t most_rss_bytes = 0;   // from before the load to the end
};

// A site whose blocks hold sparse pages.
struct PinSite {
    std::vector<Frame> frames;
    uint64_t live_bytes = 0;
    uint64_t live_blocks = 0;
    uint64_t pinned_free_bytes = 0;
};

// The pages of the allocator's heaps at one moment.
struct HeapUse {
    const char* moment = "";
    int64_t at_ns = 0;
    HeapPages pages;
    std::vector<PinSite> sites; // those first that hold most
};

struct Fragmentation {
    std::vector<HeapUse> at;      // load stop and end, where their events are still in the file
    std::optional<size_t> arenas; // of glibc, that ever served an allocation
};

struct GrowthReport {
    TraceInfo info;
    std::vector<Phase> phases;
    std::vector<GrowthSite> sites; // most worrying first, and of those the largest
    ProcessGrowth process;
    GrowthRules rules;
    uint64_t program_end = 0;                   // the address behind the program's own module
    std::optional<Fragmentation> fragmentation; // where looked for
};

// What the phases of a trace are found from.
[[nodiscard]] Run run_of(const ReplayResult& trace, const Histories& histories);

// How long until the process reaches the smallest limit of its memory that is known, if it goes on by so many bytes a
// second from the end. Nothing where no limit is known.
[[nodiscard]] std::optional<int64_t> time_to_limit(const GrowthReport& report, double bytes_per_s);

// Throws UserError where the phases given are none of the run's.
[[nodiscard]] GrowthReport make_growth_report(const ReplayResult& trace, Symbolizer& symbolizer,
                                              const GrowthOptions& options);

} // namespace leak::analyzer
