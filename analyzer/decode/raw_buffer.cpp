#include "analyzer/decode/raw_buffer.hpp"

#include "analyzer/decode/row_columns.hpp"
#include "format/event_rows.hpp"

#include <algorithm>

namespace leak::analyzer {

using format::BufferState;
using format::kColumnCount;
using format::RawBufferHeader;
using format::RawColumnsHeader;

namespace {

using Result = std::expected<std::optional<RawBuffer>, RawFault>;

constexpr const char* kUnreadable = "a raw event buffer can't be read";
constexpr const char* kCut = "the file ends inside a raw event buffer";

[[nodiscard]] std::unexpected<RawFault> fault(const char* what, uint64_t lost_events)
{
    return std::unexpected(RawFault{what, lost_events});
}

template <typename Header> [[nodiscard]] bool is_known(const Header& header)
{
    return header.state == BufferState::active || header.state == BufferState::full;
}

// Not to be read: without events, or changing hands.
template <typename Header> [[nodiscard]] bool is_in_between(const Header& header)
{
    return header.state == BufferState::free || (header.generation & 1) != 0;
}

template <typename Header> [[nodiscard]] RawBuffer buffer_of(const Header& header)
{
    RawBuffer buffer;
    buffer.thread_index = header.thread_index;
    buffer.level = header.level;
    buffer.sequence = header.stream_sequence;
    buffer.base_stamp = header.base_stamp;
    return buffer;
}

// -- Rows ------------------------------------------------------------------------------------------------------------

[[nodiscard]] Result copy_rows(const FileReader& file, uint64_t offset, uint64_t frame_bytes)
{
    // The owner writes a row and then says so. The generation, before and after, tells whether it was the same buffer
    // all the time.
    RawBufferHeader header = {};
    if (!file.read_value(offset, header)) return fault(kUnreadable, 0);
    if (is_in_between(header)) return std::nullopt;
    const uint32_t end = format::rows_end(header.written);
    const uint32_t count = format::row_count(header.written);
    const uint64_t most = std::min<uint64_t>(frame_bytes, format::kMaxRawBufferBytes) / format::kMinRowBytes;
    if (!is_known(header)) return fault("a raw event buffer has an unknown state", std::min<uint64_t>(count, most));
    if (end < sizeof header || end > frame_bytes || frame_bytes > format::kMaxRawBufferBytes)
        return fault("the rows of a raw event buffer lie outside of it", std::min<uint64_t>(count, most));
    if (count > (end - sizeof header) / format::kMinRowBytes)
        return fault("a raw event buffer counts more events than it holds", std::min<uint64_t>(count, most));
    std::vector<std::byte> rows(end - sizeof header);
    if (file.read_at(offset + sizeof header, rows) != rows.size()) return fault(kCut, count);
    RawBufferHeader after = {};
    if (!file.read_value(offset, after)) return fault(kUnreadable, count);
    if (after.generation != header.generation) return std::nullopt;
    RawBuffer buffer = buffer_of(header);
    RowColumns columns = columns_of_rows(rows, count, buffer.base_stamp);
    buffer.event_count = columns.event_count;
    buffer.last_stamp = columns.last_stamp;
    buffer.copy = {columns.column_bytes, std::move(columns.bytes)};
    buffer.fault = {columns.fault, count - columns.event_count};
    return buffer;
}

// -- Columns: before version 3 ---------------------------------------------------------------------------------------

[[nodiscard]] bool columns_fit(const RawColumnsHeader& header, uint64_t frame_bytes)
{
    if (header.column_begin[0] < sizeof header || header.column_begin[kColumnCount] > frame_bytes) return false;
    for (uint32_t c = 0; c < kColumnCount; ++c)
        if (header.column_end[c] < header.column_begin[c] || header.column_end[c] > header.column_begin[c + 1])
            return false;
    return true;
}

[[nodiscard]] bool read_columns(const FileReader& file, uint64_t offset, const RawColumnsHeader& header, RawCopy& copy)
{
    for (uint32_t c = 0; c < kColumnCount; ++c) {
        const uint32_t bytes = header.column_end[c] - header.column_begin[c];
        const size_t at = copy.bytes.size();
        copy.column_bytes[c] = bytes;
        copy.bytes.resize(at + bytes);
        if (file.read_at(offset + header.column_begin[c], std::span(copy.bytes).subspan(at)) != bytes) return false;
    }
    return true;
}

[[nodiscard]] Result copy_columns(const FileReader& file, uint64_t offset, uint64_t frame_bytes)
{
    // The owner stores columns, cursors, last stamp and then the count. Read the other way round: the count first, the
    // cursors after it, the columns last; then whatever lies below the count is whole.
    RawColumnsHeader counted = {};
    RawColumnsHeader header = {};
    if (!file.read_value(offset, counted) || !file.read_value(offset, header)) return fault(kUnreadable, 0);
    if (is_in_between(counted) || header.generation != counted.generation) return std::nullopt;
    const uint64_t lost = std::min<uint64_t>(counted.event_count, frame_bytes);
    if (!is_known(counted)) return fault("a raw event buffer has an unknown state", lost);
    if (!columns_fit(header, frame_bytes)) return fault("the columns of a raw event buffer lie outside of it", lost);
    RawBuffer buffer = buffer_of(header);
    buffer.event_count = counted.event_count;
    buffer.last_stamp = header.last_stamp;
    if (!read_columns(file, offset, header, buffer.copy)) return fault(kCut, lost);
    RawColumnsHeader after = {};
    if (!file.read_value(offset, after)) return fault(kUnreadable, lost);
    if (after.generation != counted.generation) return std::nullopt;
    if (buffer.event_count > buffer.copy.column_bytes[0])
        return fault("a raw event buffer counts more events than it holds", lost);
    return buffer;
}

} // namespace

Result copy_raw_buffer(const FileReader& file, uint64_t offset, uint64_t frame_bytes, uint16_t version_major)
{
    return version_major < 3 ? copy_columns(file, offset, frame_bytes) : copy_rows(file, offset, frame_bytes);
}

} // namespace leak::analyzer
