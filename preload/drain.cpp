#include "preload/drain.hpp"

#include "preload/os.hpp"
#include "preload/own_memory.hpp"
#include "preload/tracer.hpp"

namespace leak::preload {

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
        const std::span<const std::byte> compressed = is_to_compress() ? compressor_.compress(*buffer->header, header)
                                                                       : compressor_.store(*buffer->header, header);
        if (compressed.empty() || !make_room(format::chunk_bytes<>(header.compressed_bytes))) {
            // The events stay in the file as they are: raw.
            g_tracer.pool.give_back_full(*buffer);
            if (compressed.empty()) g_tracer.fail(format::LossCause::internal, "compression failed", -EINVAL);
            return false;
        }
        g_tracer.file.ring().note_events(slot_.index, header.base_stamp, header.last_stamp);
        append(header, compressed);
        // The host has written into our memory: what can't be read is known to be missing, as far as there can be any.
        constexpr uint32_t kMost = format::kRawBufferBytes / format::kMinRowBytes;
        const uint32_t had = events < kMost ? events : kMost;
        if (header.event_count < had) g_tracer.count_lost(format::LossCause::internal, had - header.event_count);
    }
    g_tracer.pool.give_free(*buffer);
    g_tracer.file.note_time(g_tracer.clock);
    return true;
}

void Drain::append(const format::EventChunkHeader& header, std::span<const std::byte> compressed) noexcept
{
    std::byte* const at = slot_.at + used_;
    const uint64_t room = format::kSlotBytes - used_;
    used_ += write_to_file(header, compressed) ? format::chunk_bytes<>(header.compressed_bytes)
                                               : format::append_chunk(at, room, header, compressed);
}

// A system call costs a third of the page faults of stores into the mapping. All but the store that makes a chunk of
// it. False: there is no descriptor, or not all could be written.
bool Drain::write_to_file(const format::EventChunkHeader& header, std::span<const std::byte> compressed) noexcept
{
    const int fd = t_local.is_writer ? g_tracer.writer.descriptor() : -1;
    if (fd < 0 || g_tracer.file.is_cut(fd)) return false;
    const uint64_t taken = format::chunk_bytes<>(header.compressed_bytes);
    const format::ChunkTail tail =
        format::chunk_tail(sizeof header + compressed.size(), taken, format::kSlotBytes - used_);
    const auto part = [](const void* from, size_t bytes) { return iovec{const_cast<void*>(from), bytes}; };
    const auto* const first = reinterpret_cast<const std::byte*>(&header);
    const iovec parts[] = {part(first + format::kPublishedBytes, sizeof header - format::kPublishedBytes),
                           part(compressed.data(), compressed.size()), part(tail.bytes.data(), tail.used)};
    size_t all = 0;
    for (const iovec& one : parts) all += one.iov_len;
    const uint64_t offset = uint64_t{slot_.index} * format::kSlotBytes + used_ + format::kPublishedBytes;
    if (os::write_at(fd, parts, offset) != static_cast<long>(all)) return false;
    format::publish_chunk(slot_.at + used_, first);
    return true;
}

bool Drain::make_room(uint64_t chunk_bytes) noexcept
{
    if (slot_ && format::chunk_fits(chunk_bytes, format::kSlotBytes - used_)) return true;
    const Slot next = g_tracer.new_slot(format::SlotKind::events);
    if (!next) return false;
    if (slot_) g_tracer.file.close_slot(slot_);
    slot_ = next;
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
