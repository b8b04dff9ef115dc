#include "preload/drain.hpp"

#include "format/event_rows.hpp"
#include "preload/os.hpp"
#include "preload/own_memory.hpp"
#include "preload/tracer.hpp"

namespace leak::preload {

namespace {

// Bytes of a chunk of rows, up to a multiple of 8.
constexpr uint64_t kBeforeRows = format::align8(sizeof(format::EventChunkHeader) + sizeof(format::StoredFrame::head));

// Where a chunk of rows ends that could end at `end`: a little later, if the next one's rows begin with a page then. A
// copy whose target lies in its page as its source does is the cheapest, and may be an eighth of the dearest.
[[nodiscard]] uint64_t end_for_pages(uint64_t end) noexcept
{
    const uint64_t best = (end + kBeforeRows + kPageBytes - 1) / kPageBytes * kPageBytes - kBeforeRows;
    return best - end <= format::ChunkTail::kMostGap ? best : end;
}

// Four of the largest buffers fill a slot.
constexpr uint64_t kMostChunkBytes =
    format::chunk_bytes<>(format::RowWriter::most_row_bytes(format::kRawBufferBytes) + sizeof(format::StoredFrame));
static_assert(sizeof(format::SlotHeader) + kMostChunkBytes <= format::kRawBufferBytes - kBeforeRows);

} // namespace

bool Drains::try_one() noexcept
{
    if (g_tracer.pool.full_count() == 0) return false;
    // Each has an event slot, which is only worth its room in the file where threads would wait for each other.
    const uint32_t threads = g_tracer.threads.count();
    for (uint32_t i = 0; i < count_ && i < (threads > 1 ? threads : 1); ++i) {
        switch (drains_[i].try_one()) {
        case Drain::Result::done:
            return true;
        case Drain::Result::nothing:
            return false;
        case Drain::Result::busy:
            break;
        case Drain::Result::no_memory:
            if (i == 0) g_tracer.fail(format::LossCause::no_memory, "no memory for compression", -ENOMEM);
            return false; // those before will do
        }
    }
    return false;
}

Drain::Result Drain::try_one() noexcept
{
    if (!lock_.try_lock()) return Result::busy;
    const Result result = !prepare() ? Result::no_memory : drain_one() ? Result::done : Result::nothing;
    lock_.unlock();
    return result;
}

bool Drain::prepare() noexcept
{
    if (ready_) return true;
    const int level = g_tracer.settings.zstd_level;
    if (memory_ == nullptr) {
        memory_bytes_ = format::ChunkCompressor::memory_bytes(level);
        memory_ = static_cast<std::byte*>(map_own(memory_bytes_));
    }
    ready_ = memory_ != nullptr && compressor_.init({memory_, memory_bytes_}, level);
    return ready_;
}

// Compression is for processors that have nothing else to do: else it takes from the host's threads nearly as much as
// recording does. Nor is there time for it where the writer has a fold to finish, or falls behind; a thread that helps
// then should soon go on.
bool Drain::is_to_compress() noexcept
{
    if (g_tracer.settings.compression != Compression::automatic)
        return g_tracer.settings.compression == Compression::always;
    if (!t_local.is_writer) return !g_tracer.writer.ensure_running();
    const BufferPool& pool = g_tracer.pool;
    const bool is_behind = g_tracer.folder.is_folding() || 2 * pool.waiting_count() > pool.count();
    return g_tracer.writer.has_spare_processor() && !is_behind;
}

bool Drain::drain_one() noexcept
{
    RawBuffer* buffer = g_tracer.pool.take_full();
    if (buffer == nullptr) return false;
    const uint32_t events = buffer->is_whole() ? format::row_count(buffer->header->written) : 0;
    if (events != 0) {
        format::EventChunkHeader header;
        const format::ChunkFrames frames = is_to_compress()
                                               ? format::ChunkFrames(compressor_.compress(*buffer->header, header))
                                               : compressor_.store(*buffer->header, buffer->last_stamp, header);
        if (t_local.is_writer) g_tracer.clock.end_beats(); // as in Tracer::add_slot()
        if (frames.bytes() == 0 || !make_room(format::chunk_bytes<>(header.compressed_bytes))) {
            // The events stay in the file as they are: raw.
            g_tracer.pool.give_back_full(*buffer);
            if (frames.bytes() == 0) g_tracer.fail(format::LossCause::internal, "compression failed", -EINVAL);
            return false;
        }
        g_tracer.file.ring().note_events(slot_.index, header.base_stamp, header.last_stamp);
        append(header, frames);
        // The host has written into our memory: what can't be read is known to be missing, as far as there can be any.
        // (Of rows that are stored, whoever reads them finds it.)
        constexpr uint32_t kMost = format::kRawBufferBytes / format::kMinRowBytes;
        const uint32_t had = events < kMost ? events : kMost;
        if (header.event_count < had) g_tracer.count_lost(format::LossCause::internal, had - header.event_count);
    }
    g_tracer.pool.give_free(*buffer);
    g_tracer.file.note_time(g_tracer.clock);
    return true;
}

void Drain::append(const format::EventChunkHeader& header, const format::ChunkFrames& frames) noexcept
{
    uint64_t taken = write_to_file(header, frames);
    if (taken == 0) taken = format::append_chunk(slot_.at + used_, format::kSlotBytes - used_, header, frames);
    used_ += taken;
}

// A system call costs a third of the page faults of stores into the mapping. All but the store that makes a chunk of
// it. Returns the bytes taken; 0: there is no descriptor, or not all could be written.
uint64_t Drain::write_to_file(const format::EventChunkHeader& header, const format::ChunkFrames& frames) noexcept
{
    const int fd = t_local.is_writer ? g_tracer.writer.descriptor() : -1;
    if (fd < 0 || g_tracer.file.is_cut(fd)) return 0;
    const uint64_t end = used_ + format::chunk_bytes<>(header.compressed_bytes);
    const bool in_rows = header.frame.kind == format::FrameKind::event_rows;
    const uint64_t taken = (in_rows ? end_for_pages(end) : end) - used_;
    const format::ChunkTail tail =
        format::chunk_tail(sizeof header + frames.bytes(), taken, format::kSlotBytes - used_);
    const auto part = [](std::span<const std::byte> from) {
        return iovec{const_cast<std::byte*>(from.data()), from.size()};
    };
    const auto* const first = reinterpret_cast<const std::byte*>(&header);
    const auto& [before, content, behind] = frames.pieces;
    const iovec parts[] = {part({first + format::kPublishedBytes, sizeof header - format::kPublishedBytes}),
                           part(before), part(content), part(behind), part(std::span(tail.bytes).first(tail.used))};
    size_t all = 0;
    for (const iovec& one : parts) all += one.iov_len;
    const uint64_t offset = uint64_t{slot_.index} * format::kSlotBytes + used_ + format::kPublishedBytes;
    if (os::write_at(fd, parts, offset) != static_cast<long>(all)) return 0;
    format::publish_chunk(slot_.at + used_, first);
    return taken;
}

bool Drain::make_room(uint64_t chunk_bytes) noexcept
{
    if (slot_ && format::chunk_fits(chunk_bytes, format::kSlotBytes - used_)) return true;
    // First this one: a process that has no address space left can do with what that had.
    if (slot_) g_tracer.file.close_slot(slot_);
    slot_ = g_tracer.new_slot(format::SlotKind::events);
    if (!slot_) return false;
    used_ = sizeof(format::SlotHeader);
    return true;
}

void Drain::reset() noexcept
{
    ready_ = false; // another thread may have been in the middle of a frame
    slot_ = {};
    used_ = 0;
}

} // namespace leak::preload
