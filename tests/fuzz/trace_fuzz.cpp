// Feeds arbitrary bytes to the decoder and the replay: any file may be refused or read in part, none may crash, run
// away or take memory beyond its own size.
//
// With libFuzzer, in the top folder:
//   clang++-19 -std=c++23 -I. -g -O1 -fsanitize=fuzzer,address,undefined -o trace_fuzz tests/fuzz/trace_fuzz.cpp
//     format/chunk_decompress.cpp analyzer/decode/*.cpp analyzer/replay/*.cpp analyzer/analysis/*.cpp -lzstd
// Without it fuzz_main.cpp replays a corpus and mutates it.
#include "analyzer/analysis/growth_verdict.hpp"
#include "analyzer/analysis/heap_pages.hpp"
#include "analyzer/analysis/reachability.hpp"
#include "analyzer/replay/replay.hpp"
#include "analyzer/user_error.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <numeric>
#include <string>
#include <sys/mman.h>
#include <unistd.h>

using namespace leak::analyzer;

namespace {

// What must hold for whatever was read.
void check(const ReplayResult& result, size_t file_bytes)
{
    const Totals& totals = result.totals;
    const uint64_t events =
        std::accumulate(std::begin(totals.events_by_kind), std::end(totals.events_by_kind), uint64_t{0});
    // What is an estimate may be anything.
    const bool counts_fit = totals.unmatched_releases <= totals.releases && totals.allocations <= events &&
                            result.unfreed.size() <= totals.allocations;
    const bool sane = (counts_fit || result.info.sample_bytes != 0) && result.info.duration_ns >= 0 &&
                      result.info.file_bytes == file_bytes && !result.modules.empty();
    if (!sane) std::abort();
    for (const LiveBlock& block : result.unfreed) {
        if (block.thread.value >= totals.threads) std::abort();
        for (const Pc& pc : result.stacks.frames(block.stack))
            if (pc.module.value >= result.modules.size()) std::abort();
    }
}

// The analyses go without crashing over whatever was replayed.
void analyse(const ReplayResult& result)
{
    const int64_t end_ns = std::clamp<int64_t>(result.info.duration_ns, 0, INT64_MAX / 8);
    const Histories histories(result.accounts, end_ns);
    const uint32_t heap = StackAccounts::Table::kHeap;
    const Run run{.heap = histories.of({&heap, 1}),
                  .end_ns = end_ns,
                  .tick_ns = result.accounts.tick_ns(),
                  .ended_normally = true};
    const std::vector<Phase> phases = phases_of(run, result.info.marks, {});
    if (phases.empty()) std::abort();
    static_cast<void>(judge_growth(run.heap, run.heap, run.heap, phases, {}));
    if (result.memory) {
        const PointerGraph graph(*result.memory, {});
        if (find_reachability(graph).classes.size() != graph.blocks().size()) std::abort();
    }
    HeapExtents extents(0);
    for (const LiveBlock& block : result.unfreed) extents.on_allocate(block);
    static_cast<void>(extents.pages_of(result.unfreed));
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size)
{
    static const int file = memfd_create("trace", MFD_CLOEXEC);
    static const std::string path = "/proc/self/fd/" + std::to_string(file);
    if (ftruncate(file, 0) != 0 || pwrite(file, data, size, 0) != static_cast<ssize_t>(size)) std::abort();
    try {
        const ReplayResult result = replay_trace(path, {.wants_memory = true});
        check(result, size);
        constexpr unsigned kSeldom = 16; // it takes longer than the rest
        if (static unsigned runs = 0; runs++ % kSeldom == 0) analyse(result);
    } catch (const UserError&) {
        // Refused with a reason: as it should be.
    }
    return 0;
}
