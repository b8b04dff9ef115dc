// Appends records to a journal frame. The write side: no allocation, safe in a hook; one writer at a time.
#pragma once

#include "format/checksum.hpp"
#include "format/layout.hpp"

#include <atomic>
#include <cstddef>
#include <cstring>
#include <initializer_list>
#include <span>

namespace leak::format {

using Piece = std::span<const std::byte>;

// The bytes of a trivially copyable value, as a piece of a record's payload.
template <typename T> [[nodiscard]] Piece piece_of(const T& value) noexcept
{
    static_assert(std::is_trivially_copyable_v<T>);
    return std::as_bytes(std::span(&value, 1));
}
[[nodiscard]] inline Piece piece_of_text(const char* text, size_t bytes) noexcept
{
    return {reinterpret_cast<const std::byte*>(text), bytes};
}

class JournalWriter {
public:
    JournalWriter() = default;

    // `frame`: an empty, zeroed journal frame in the file's mapping.
    explicit JournalWriter(JournalHeader& frame) noexcept
        : at_(reinterpret_cast<std::byte*>(&frame) + sizeof(JournalHeader)),
          end_(reinterpret_cast<std::byte*>(&frame) + frame_bytes(frame.frame))
    {
        if (end_ < at_) end_ = at_; // of a file that somebody has just cut
    }

    // False when the record does not fit; the frame is then as it was.
    [[nodiscard]] bool append(RecordType type, uint64_t stamp, std::initializer_list<Piece> payload,
                              uint16_t flags = 0) noexcept
    {
        size_t bytes = sizeof(RecordHeader);
        for (const Piece& piece : payload) bytes += piece.size();
        if (align8(bytes) > static_cast<size_t>(end_ - at_)) return false;
        auto* record = reinterpret_cast<RecordHeader*>(at_);
        record->type = type;
        record->flags = flags;
        record->reserved = 0;
        record->stamp = stamp;
        std::byte* to = at_ + sizeof(RecordHeader);
        for (const Piece& piece : payload) {
            std::memcpy(to, piece.data(), piece.size());
            to += piece.size();
        }
        constexpr size_t covered_from = offsetof(RecordHeader, type);
        record->checksum = checksum(at_ + covered_from, bytes - covered_from);
        std::atomic_ref(record->bytes).store(static_cast<uint32_t>(bytes), std::memory_order_release);
        at_ += align8(bytes);
        return true;
    }

private:
    std::byte* at_ = nullptr;
    std::byte* end_ = nullptr;
};

} // namespace leak::format
