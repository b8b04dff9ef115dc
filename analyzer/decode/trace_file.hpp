// Opens a trace and indexes it: what is where, without reading the events yet.
//
// One thread. Memory is bounded by the number of slots and buffers, the code addresses, the journal, and the raw
// buffers, which are copied. A trace that is still being written is read as it was at one moment, `cut_stamp`.
#pragma once

#include "analyzer/decode/carried.hpp"
#include "analyzer/decode/damage_log.hpp"
#include "analyzer/decode/event_buffers.hpp"
#include "analyzer/decode/file_reader.hpp"
#include "analyzer/decode/journal.hpp"
#include "analyzer/decode/pc_table.hpp"
#include "analyzer/decode/stamp_clock.hpp"
#include "analyzer/replay/trace_model.hpp"

#include <cstdint>
#include <filesystem>
#include <optional>
#include <vector>

namespace leak::analyzer {

// One slot of the file, for `leakan info`.
struct SlotInfo {
    uint64_t offset = 0;
    format::SlotKind kind = format::SlotKind::free;
    uint64_t sequence = 0;
    uint32_t owner_tid = 0;
    uint64_t used_bytes = 0;  // frames, without padding
    uint64_t events = 0;      // in its chunks and raw buffers
    bool header_sound = true; // false: kind, sequence and owner are unknown
    bool other_trace = false; // left over from another trace: not read
};

struct TraceContents {
    FileReader file;
    format::FileHeader header;
    StampConverter clock;
    TraceInfo info; // without duration_ns, complete, gap_events, damage and parent_found, which the replay finds
    std::vector<Module> modules; // index = ModuleId; [0] is the unknown module
    std::vector<Thread> threads; // by id: those the journal names, and every stream's thread
    uint64_t thread_count = 0;   // that there ever were
    std::optional<ParentLink> parent;
    PcTable pcs;
    RawCopies raw_copies;
    std::vector<Stream> streams;
    std::optional<CarriedState> carried;   // of a wrapped trace: what came before the streams' events
    std::vector<StatePart> snapshot_parts; // read_snapshot() reads them
    std::vector<ProcessSample> samples;    // in order of time
    std::vector<SlotInfo> slots;           // in file order, those in use
    uint64_t unused_slots = 0;             // space taken for later
    uint64_t event_count = 0;              // in all streams, as their headers say
    std::optional<uint64_t> cut_stamp;     // later events are not part of this view
    DamageLog damage;                      // readers of events add to it
};

// Throws UserError when `path` can't be used at all.
[[nodiscard]] TraceContents open_trace(const std::filesystem::path& path);
[[nodiscard]] TraceContents open_trace(FileReader file);

} // namespace leak::analyzer
