// Feeds arbitrary bytes to the decoder and the replay: any file may be refused or read in part, none may crash, run
// away or take memory beyond its own size.
//
// With libFuzzer, in the top folder:
//   clang++-19 -std=c++23 -I. -g -O1 -fsanitize=fuzzer,address,undefined -o trace_fuzz tests/fuzz/trace_fuzz.cpp
//     format/chunk_decompress.cpp analyzer/decode/*.cpp analyzer/replay/*.cpp -lzstd
// Without it fuzz_main.cpp replays a corpus and mutates it.
#include "analyzer/replay/replay.hpp"
#include "analyzer/user_error.hpp"

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
        if (block.thread.value >= result.threads.size()) std::abort();
        for (const Pc& pc : result.stacks.frames(block.stack))
            if (pc.module.value >= result.modules.size()) std::abort();
    }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size)
{
    static const int file = memfd_create("trace", MFD_CLOEXEC);
    static const std::string path = "/proc/self/fd/" + std::to_string(file);
    if (ftruncate(file, 0) != 0 || pwrite(file, data, size, 0) != static_cast<ssize_t>(size)) std::abort();
    try {
        check(replay_trace(path), size);
    } catch (const UserError&) {
        // Refused with a reason: as it should be.
    }
    return 0;
}
