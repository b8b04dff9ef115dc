#include "analyzer/decode/slot_scan.hpp"

#include "analyzer/decode/samples.hpp"
#include "analyzer/user_error.hpp"
#include "format/checksum.hpp"

#include <algorithm>
#include <cstring>
#include <iterator>

namespace leak::analyzer {

using format::EventChunkHeader;
using format::FrameKind;
using format::SlotKind;

void Findings::append(Findings&& other)
{
    std::ranges::move(other.buffers, std::back_inserter(buffers));
    std::ranges::move(other.journal, std::back_inserter(journal));
    std::ranges::move(other.carried, std::back_inserter(carried));
    std::ranges::move(other.snapshots, std::back_inserter(snapshots));
    std::ranges::move(other.samples, std::back_inserter(samples));
    pcs.merge(std::move(other.pcs));
    damage.append(other.damage);
}

// -- Slots -----------------------------------------------------------------------------------------------------------

// Reads the slot frame alone; false where the slot is not in use yet.
bool SlotScanner::read_front(uint64_t offset, SlotRead& slot) const
{
    slot = {};
    slot.offset = offset;
    const size_t got = file_.read_at(offset, std::as_writable_bytes(std::span(&slot.header, 1)));
    // Nothing yet, or about to be used again.
    const uint32_t magic = slot.header.frame.magic;
    if (got >= sizeof magic && (magic == 0 || magic == format::kPaddingMagic)) return false;
    const format::FrameHeader& frame = slot.header.frame;
    slot.header_sound = got == sizeof slot.header && frame.magic == format::kFrameMagic &&
                        frame.tag == format::kFrameTag && frame.kind == FrameKind::slot &&
                        LEAK_CHECKSUM_UP_TO(slot.header, checksum) == slot.header.checksum;
    slot.other_trace = slot.header_sound && slot.header.trace_id != header_.trace_id;
    return true;
}

SlotScanner::SlotRead SlotScanner::read_slot(uint64_t offset)
{
    SlotRead slot;
    bytes_.resize(header_.slot_bytes);
    const size_t got = file_.read_at(offset, bytes_);
    if (!read_front(offset, slot)) return slot;
    slot.cut = got < bytes_.size();
    slot.bytes = std::span(bytes_).first(got);
    return slot;
}

void SlotScanner::scan_raw_buffers(Findings& found, RawCopies& copies)
{
    const uint64_t size = file_.size_bytes();
    for (uint64_t offset = 0; offset < size; offset += header_.slot_bytes) {
        SlotRead front;
        if (!read_front(offset, front) || front.other_trace) continue;
        const SlotKind kind = front.header.kind;
        if (front.header_sound && kind != SlotKind::start && kind != SlotKind::raw_events) continue;
        const SlotRead slot = read_slot(offset);
        const FrameSink sink = {.on_frame =
                                    [&](const FrameView& frame) {
                                        if (frame.header.kind == FrameKind::raw_events)
                                            take_raw(frame, slot, found, copies);
                                    },
                                .on_damage = [](uint64_t, const std::string&) {}}; // scan_rest() comes here again
        walk_frames({slot.offset, slot.bytes, slot.cut, can_resync()}, sink);
    }
}

void SlotScanner::scan_rest(Findings& found, bool live, ScanAgain* again)
{
    constexpr int kLiveAttempts = 3;
    const uint64_t size = file_.size_bytes();
    for (uint64_t offset = 0; offset < size; offset += header_.slot_bytes) {
        SlotRead front;
        if (!read_front(offset, front)) {
            ++unused_slots_;
            continue;
        }
        if (again != nullptr) {
            if (again->skip_carried && front.header_sound && front.header.kind == SlotKind::carried) continue;
            if (is_as_seen(front, again->seen)) {
                std::ranges::copy(again->seen[offset].chunks, std::back_inserter(found.buffers));
                continue;
            }
        }
        SlotInfo info;
        Findings of_slot;
        uint64_t last_padding = 0;
        for (int attempt = 0; attempt == 0 || (live && attempt < kLiveAttempts && !of_slot.damage.empty()); ++attempt)
            of_slot = scan_slot(read_slot(offset), info, last_padding);
        if (again != nullptr) remember(info, last_padding, of_slot, again->seen);
        found.append(std::move(of_slot));
        slots_.push_back(info);
    }
    const uint64_t rest = size % header_.slot_bytes;
    if (const uint64_t whole = size / header_.slot_bytes; whole < header_.slot_count)
        found.damage.add(size, "the file was cut: " + std::to_string(whole) + " of its " +
                                   std::to_string(header_.slot_count) + " slots are whole");
    else if (SlotRead last; rest != 0 && read_front(size - rest, last)) // else the file was being extended
        found.damage.add(size, "the file ends inside a slot: " + std::to_string(header_.slot_bytes - rest) +
                                   " bytes are missing");
}

bool SlotScanner::is_as_seen(const SlotRead& front, const SeenSlots& seen) const
{
    const auto known = seen.find(front.offset);
    if (known == seen.end() || !front.header_sound || front.header.kind != SlotKind::events ||
        front.header.sequence != known->second.sequence)
        return false;
    format::PaddingHeader padding = {};
    return file_.read_value(known->second.padding_offset, padding) && padding.magic == known->second.padding.magic &&
           padding.content_bytes == known->second.padding.content_bytes;
}

void SlotScanner::remember(const SlotInfo& info, uint64_t last_padding, const Findings& found, SeenSlots& seen) const
{
    seen.erase(info.offset);
    const bool fits = info.header_sound && !info.other_trace && info.kind == SlotKind::events && found.damage.empty();
    format::PaddingHeader padding = {};
    if (!fits || last_padding == 0) return;
    std::memcpy(&padding, bytes_.data() + (last_padding - info.offset), sizeof padding);
    seen[info.offset] = {info.sequence, last_padding, padding, found.buffers};
}

Findings SlotScanner::scan_slot(const SlotRead& slot, SlotInfo& info, uint64_t& last_padding) const
{
    Findings found;
    info = {};
    last_padding = 0;
    info.offset = slot.offset;
    info.header_sound = slot.header_sound;
    info.other_trace = slot.other_trace;
    if (slot.header_sound) {
        info.kind = slot.header.kind;
        info.sequence = slot.header.sequence;
        info.owner_tid = slot.header.owner_tid;
    } else if (!slot.cut || slot.bytes.size() >= sizeof(format::SlotHeader)) {
        found.damage.add(slot.offset, "the header of a slot is not sound");
    }
    if (slot.other_trace) return found;
    const FrameSink sink = {.on_frame = [&](const FrameView& frame) { take_frame(frame, slot, found); },
                            .on_damage = [&](uint64_t at, std::string what) { found.damage.add(at, std::move(what)); },
                            .on_padding = [&](uint64_t at) { last_padding = at; }};
    info.used_bytes = walk_frames({slot.offset, slot.bytes, slot.cut, can_resync()}, sink);
    return found;
}

// -- Frames ----------------------------------------------------------------------------------------------------------

void SlotScanner::take_frame(const FrameView& frame, const SlotRead& slot, Findings& found) const
{
    switch (frame.header.kind) {
    case FrameKind::slot:
    case FrameKind::header:
    case FrameKind::raw_events: // scan_raw_buffers()
        return;
    case FrameKind::events:
    case FrameKind::event_rows:
        return take_chunk(frame, slot, found);
    case FrameKind::pcs:
        return found.pcs.add_frame(frame, found.damage);
    case FrameKind::journal:
        read_journal_frame(frame, found.journal, found.damage);
        return;
    case FrameKind::carried:
    case FrameKind::carried_before_3_5:
        return take_part(frame, found.carried);
    case FrameKind::snapshot:
        return take_part(frame, found.snapshots);
    case FrameKind::samples:
        return read_samples(frame, found.samples, found.damage);
    }
    if ((frame.header.flags & format::kIgnorable) == 0) refuse_unknown(frame, found.damage);
}

// A newer minor version may have kinds that must be understood; our own version has none but ours, so that there it is
// damage.
void SlotScanner::refuse_unknown(const FrameView& frame, DamageLog& damage) const
{
    const std::string kind = std::to_string(static_cast<unsigned>(frame.header.kind));
    if (header_.version_minor > format::newest_minor(header_.version_major))
        throw UserError(file_.path(), frame.offset,
                        "a frame of the unknown kind " + kind +
                            "; use the leakan that belongs to the libleak.so that wrote the trace");
    damage.add(frame.offset, "a frame of the unknown kind " + kind);
}

void SlotScanner::take_chunk(const FrameView& frame, const SlotRead& slot, Findings& found) const
{
    EventChunkHeader header = {};
    if (frame.cut || !copy_front(frame.bytes, header)) {
        found.damage.add(frame.offset, "the file ends inside the header of an event chunk");
        return;
    }
    if (const char* fault = fault_of(header)) {
        found.damage.add(frame.offset, fault);
        return;
    }
    if (header.compressed_bytes > frame.rest.size()) {
        found.damage.add(frame.offset, "the file ends inside an event chunk", header.event_count);
        return;
    }
    BufferRef buffer;
    buffer.sequence = header.stream_sequence;
    buffer.base_stamp = header.base_stamp;
    buffer.last_stamp = header.last_stamp;
    buffer.offset = frame.offset;
    buffer.slot_sequence = slot.header_sound ? slot.header.sequence : 0;
    buffer.event_count = header.event_count;
    buffer.compressed_bytes = header.compressed_bytes;
    buffer.in_rows = header.frame.kind == FrameKind::event_rows;
    found.buffers.push_back({header.thread_index, header.level, buffer});
}

void SlotScanner::take_part(const FrameView& frame, std::vector<StatePart>& parts)
{
    StatePart part;
    part.offset = frame.offset;
    if (!frame.cut && copy_front(frame.bytes, part.header)) parts.push_back(part);
}

void SlotScanner::take_raw(const FrameView& frame, const SlotRead& slot, Findings& found, RawCopies& copies) const
{
    auto copied = copy_raw_buffer(file_, frame.offset, format::frame_bytes(frame.header), header_.version_major);
    if (!copied) {
        found.damage.add(frame.offset, copied.error().what, copied.error().lost_events);
        return;
    }
    std::optional<RawBuffer> raw = std::move(*copied);
    if (!raw) return;
    if (raw->fault.what != nullptr) found.damage.add(frame.offset, raw->fault.what, raw->fault.lost_events);
    BufferRef buffer;
    buffer.sequence = raw->sequence;
    buffer.base_stamp = raw->base_stamp;
    buffer.last_stamp = raw->last_stamp;
    buffer.offset = frame.offset;
    buffer.slot_sequence = slot.header_sound ? slot.header.sequence : 0;
    buffer.event_count = raw->event_count;
    buffer.raw_copy = static_cast<uint32_t>(copies.size());
    copies.push_back(std::move(raw->copy));
    found.buffers.push_back({raw->thread_index, raw->level, buffer});
}

} // namespace leak::analyzer
