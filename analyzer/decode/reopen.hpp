// Opens a trace again and finds what was added to it: for readers that follow a running process.
//
// One thread. Cost: a few bytes of every slot of the file, its raw buffers, pcs and journal, and the slots that have
// changed; what is remembered of the others is one BufferRef a chunk that was not read yet.
#pragma once

#include "analyzer/decode/slot_scan.hpp"
#include "analyzer/decode/trace_file.hpp"

#include <compare>
#include <map>
#include <optional>
#include <utility>

namespace leak::analyzer {

using StreamKey = std::pair<uint32_t, uint32_t>; // thread index, level

// How far a stream was read: all buffers before `sequence`, and so many events of that one.
struct StreamPosition {
    uint64_t sequence = 0;
    uint32_t events = 0;
    friend auto operator<=>(const StreamPosition&, const StreamPosition&) = default;
};

// What a reader keeps from one opening to the next.
struct ReadSoFar {
    std::map<StreamKey, StreamPosition> positions; // a stream that is not here was not read, or its thread
    ThreadRuns forgotten;                          // is one of which nothing more can come
    uint64_t forgotten_buffers = 0;                // of their streams
    uint64_t carried_number = 0;                   // of the carried state that is known not to be ahead of them
    SeenSlots seen;
};

// The trace with the events that `read` has not got; those it has of the first buffer of a stream are its
// folded_events. A carried state is left out. A ring's file is not copied: chunks may be used again before they are
// loaded, which is damage then, and carried_number_now() tells. What a new carried state has forgotten leaves the
// positions. Nothing when events were folded that were not read:
// then the carried state is needed, and all that follows it.
[[nodiscard]] std::optional<TraceContents> reopen_trace(FileReader file, ReadSoFar& read);

// 0 before the first fold.
[[nodiscard]] uint64_t carried_number_now(const FileReader& file);

} // namespace leak::analyzer
