#include "preload/part_writer.hpp"

#include "format/checksum.hpp"

namespace leak::preload {

using format::kSlotBytes;
using format::PartHeader;

bool PartWriter::begin(int zstd_level) noexcept
{
    return plain_.resize(format::kMaxPartBytes + 64) &&
           memory_.resize(format::PartCompressor::memory_bytes(zstd_level)) &&
           compressor_.init({memory_.begin(), memory_.size()}, zstd_level);
}

void PartWriter::part(std::span<const std::byte> plain) noexcept
{
    if (!is_sound_) return;
    const std::span<const std::byte> compressed = compressor_.compress(plain);
    PartHeader header{};
    // A reader that knows no snapshots does without; without the carried state it would be wrong.
    const uint16_t flags = kind_ == format::FrameKind::snapshot ? format::kIgnorable : 0;
    header.frame = format::make_frame(kind_, sizeof header, flags);
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

bool PartWriter::make_room(uint64_t bytes) noexcept
{
    if (slot_ && format::chunk_fits(bytes, kSlotBytes - used_)) return true;
    close();
    if (slots_ == most_slots_) return false;
    slot_ = giver_.give(giver_.context);
    used_ = sizeof(format::SlotHeader);
    if (!slot_) return false;
    ++slots_;
    return true;
}

void PartWriter::close() noexcept
{
    if (slot_) giver_.close(giver_.context, slot_);
    slot_ = {};
}

} // namespace leak::preload
