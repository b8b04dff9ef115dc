#include "preload/fold/carried_writer.hpp"

#include "format/checksum.hpp"
#include "preload/tracer.hpp"

namespace leak::preload {

using format::PartHeader;
using format::kSlotBytes;

bool CarriedWriter::begin() noexcept
{
    const int level = g_tracer.settings.zstd_level;
    return plain_.resize(format::kMaxPartBytes + 64) &&
           memory_.resize(format::PartCompressor::memory_bytes(level)) &&
           compressor_.init({memory_.begin(), memory_.size()}, level);
}

void CarriedWriter::part(std::span<const std::byte> plain) noexcept
{
    if (!is_sound_) return;
    const std::span<const std::byte> compressed = compressor_.compress(plain);
    PartHeader header{};
    header.frame = format::make_frame(format::FrameKind::carried, sizeof header);
    header.number = number_;
    header.part = parts_;
    header.plain_bytes = static_cast<uint32_t>(plain.size());
    header.compressed_bytes = static_cast<uint32_t>(compressed.size());
    header.checksum = format::checksum(&header, offsetof(PartHeader, checksum));
    is_sound_ = !compressed.empty() && make_room(format::chunk_bytes<PartHeader>(header.compressed_bytes));
    if (!is_sound_) return;
    const uint64_t taken = format::append_chunk(slot_.at + used_, kSlotBytes - used_, header, compressed);
    used_ += taken;
    bytes_ += taken;
    ++parts_;
}

bool CarriedWriter::make_room(uint64_t bytes) noexcept
{
    if (slot_ && format::chunk_fits(bytes, kSlotBytes - used_)) return true;
    close();
    if (slots_ == most_slots_) return false;
    slot_ = g_tracer.file.add_slot(format::SlotKind::carried, 0, fd_);
    used_ = sizeof(format::SlotHeader);
    if (!slot_) return false;
    ++slots_;
    // Whose it is: slots of a state that was not finished are free again.
    g_tracer.file.ring().note_events(slot_.index, number_, number_);
    return true;
}

void CarriedWriter::close() noexcept
{
    if (slot_) g_tracer.file.close_slot(slot_);
    slot_ = {};
}

} // namespace leak::preload
