// Reads the slots of a trace, one at a time, and sorts what their frames hold.
//
// One thread; one slot is in memory at a time.
#pragma once

#include "analyzer/decode/carried.hpp"
#include "analyzer/decode/trace_file.hpp"

#include <functional>
#include <map>
#include <vector>

namespace leak::analyzer {

struct FoundBuffer {
    uint32_t thread_index = 0;
    uint32_t level = 0;
    BufferRef buffer;
};

// What one slot, or all of them, hold.
struct Findings {
    std::vector<FoundBuffer> buffers;
    std::vector<JournalRecord> journal;
    std::vector<StatePart> carried;
    std::vector<StatePart> snapshots;
    std::vector<format::SampleRecord> samples;
    PcTable pcs;
    DamageLog damage;

    void append(Findings&& other);
};

// An events slot as it was when it was read: as long as the padding behind its chunks is there, there are no others.
struct SeenSlot {
    uint64_t sequence = 0;
    uint64_t padding_offset = 0;
    format::PaddingHeader padding{};
    std::vector<FoundBuffer> chunks;
};
using SeenSlots = std::map<uint64_t, SeenSlot>; // by offset

// What a reader that comes again spares itself.
struct ScanAgain {
    SeenSlots& seen;
    bool skip_carried; // it is the one that was there
};

class SlotScanner {
public:
    SlotScanner(const FileReader& file, const format::FileHeader& header) : file_(file), header_(header) {}

    // Copies the raw buffers of the file as it is now. Comes first: what a running process moves from a raw buffer to
    // a chunk after that is found again by scan_rest().
    void scan_raw_buffers(Findings& found, RawCopies& copies);

    // Everything else. `live`: the process may be writing; what looks damaged is read again before it is believed.
    // `again` may be null: everything is read.
    void scan_rest(Findings& found, bool live, ScanAgain* again = nullptr);

    [[nodiscard]] std::vector<SlotInfo> take_slots() { return std::move(slots_); }
    [[nodiscard]] uint64_t unused_slots() const { return unused_slots_; }

private:
    // One slot in memory.
    struct SlotRead {
        uint64_t offset = 0;
        format::SlotHeader header{};
        bool header_sound = false;
        bool other_trace = false;
        bool cut = false; // the file ends inside it
        std::span<const std::byte> bytes;
    };

    [[nodiscard]] bool read_front(uint64_t offset, SlotRead& slot) const;
    [[nodiscard]] SlotRead read_slot(uint64_t offset);
    [[nodiscard]] Findings scan_slot(const SlotRead& slot, SlotInfo& info, uint64_t& last_padding) const;
    [[nodiscard]] bool is_as_seen(const SlotRead& front, const SeenSlots& seen) const;
    void remember(const SlotInfo& info, uint64_t last_padding, const Findings& found, SeenSlots& seen) const;
    void take_frame(const FrameView& frame, const SlotRead& slot, Findings& found) const;
    void take_chunk(const FrameView& frame, const SlotRead& slot, Findings& found) const;
    static void take_part(const FrameView& frame, std::vector<StatePart>& parts);
    void take_raw(const FrameView& frame, const SlotRead& slot, Findings& found, RawCopies& copies) const;
    void refuse_unknown(const FrameView& frame, DamageLog& damage) const;

    // Damage is searched for the next frame where no slot was used twice: else frames of the use before may lie there.
    [[nodiscard]] bool can_resync() const { return !carried_ref(header_).has_value(); }

    const FileReader& file_;
    const format::FileHeader& header_;
    std::vector<std::byte> bytes_; // of the slot being read
    std::vector<SlotInfo> slots_;
    uint64_t unused_slots_ = 0;
};

} // namespace leak::analyzer
