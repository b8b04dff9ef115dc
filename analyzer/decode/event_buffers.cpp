#include "analyzer/decode/event_buffers.hpp"

#include "analyzer/decode/row_columns.hpp"
#include "format/checksum.hpp"
#include "format/event_rows.hpp"

#include <cstring>
#include <numeric>

namespace leak::analyzer {

using format::EventChunkHeader;
using format::kColumnCount;

namespace {

[[nodiscard]] format::EventDecoder make_decoder(std::span<const std::byte> bytes,
                                                const std::array<uint32_t, kColumnCount>& column_bytes,
                                                const BufferRef& buffer, uint16_t version_major)
{
    format::EventDecoder::Columns columns;
    const auto* at = reinterpret_cast<const uint8_t*>(bytes.data());
    for (uint32_t c = 0; c < kColumnCount; ++c) {
        columns[c] = {at, column_bytes[c]};
        at += column_bytes[c];
    }
    return {columns, buffer.base_stamp, buffer.event_count, version_major};
}

} // namespace

const char* fault_of(const EventChunkHeader& header)
{
    const uint64_t bytes = std::accumulate(std::begin(header.column_bytes), std::end(header.column_bytes), uint64_t{0});
    if (bytes > format::kMaxColumnBytes) return "an event chunk is larger than the format allows";
    if (header.event_count > header.column_bytes[0]) return "an event chunk counts more events than it holds";
    const bool in_rows = header.frame.kind == format::FrameKind::event_rows;
    if (in_rows && (bytes != header.column_bytes[0] || bytes > format::kMaxRawBufferBytes))
        return "an event chunk in rows is larger than the format allows";
    if (in_rows && header.event_count > bytes / format::kMinRowBytes)
        return "an event chunk counts more events than it holds";
    if (header.last_stamp < header.base_stamp) return "an event chunk ends before it begins";
    return nullptr;
}

std::expected<format::EventDecoder, std::string> BufferLoader::load(const BufferRef& buffer,
                                                                    std::vector<std::byte>& storage)
{
    if (buffer.raw_copy != kNoRawCopy) {
        const RawCopy& copy = raw_copies_[buffer.raw_copy];
        return make_decoder(copy.bytes, copy.column_bytes, buffer, version_major_);
    }
    compressed_.resize(sizeof(EventChunkHeader) + buffer.compressed_bytes);
    if (file_.read_at(buffer.offset, compressed_) != compressed_.size())
        return std::unexpected("the file ends inside an event chunk");
    EventChunkHeader header = {};
    std::memcpy(&header, compressed_.data(), sizeof header);
    // Checked when the file was opened; a process that recycles its slots may have written here since.
    if (LEAK_CHECKSUM_UP_TO(header, checksum) != header.checksum || fault_of(header) != nullptr ||
        header.stream_sequence != buffer.sequence || header.event_count != buffer.event_count ||
        header.base_stamp != buffer.base_stamp)
        return std::unexpected("an event chunk was overwritten while the trace was read");
    std::array<uint32_t, kColumnCount> column_bytes;
    std::copy(std::begin(header.column_bytes), std::end(header.column_bytes), column_bytes.begin());
    storage.resize(std::accumulate(column_bytes.begin(), column_bytes.end(), size_t{0}));
    if (const char* fault = decompressor_.decompress(std::span(compressed_).subspan(sizeof header), storage))
        return std::unexpected(std::string("an event chunk can't be decompressed: ") + fault);
    if (header.frame.kind == format::FrameKind::event_rows) {
        // Where a row can't be read the columns end before the events do, and so the decoder says.
        RowColumns columns = columns_of_rows(storage, header.event_count, header.base_stamp);
        storage = std::move(columns.bytes);
        column_bytes = columns.column_bytes;
    }
    return make_decoder(storage, column_bytes, buffer, version_major_);
}

} // namespace leak::analyzer
