#include "analyzer/decode/event_buffers.hpp"

#include "format/checksum.hpp"

#include <cstring>
#include <numeric>

namespace leak::analyzer {

using format::BufferState;
using format::EventChunkHeader;
using format::kColumnCount;
using format::RawBufferHeader;

namespace {

[[nodiscard]] bool columns_fit(const RawBufferHeader& header, uint64_t frame_bytes)
{
    if (header.column_begin[0] < sizeof header || header.column_begin[kColumnCount] > frame_bytes) return false;
    for (uint32_t c = 0; c < kColumnCount; ++c)
        if (header.column_end[c] < header.column_begin[c] || header.column_end[c] > header.column_begin[c + 1])
            return false;
    return true;
}

[[nodiscard]] bool being_reused(const RawBufferHeader& before, const RawBufferHeader& after)
{
    return (before.generation & 1) != 0 || after.generation != before.generation;
}

[[nodiscard]] bool copy_columns(const FileReader& file, uint64_t offset, const RawBufferHeader& header, RawCopy& copy)
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

std::expected<std::optional<RawBuffer>, std::string> copy_raw_buffer(const FileReader& file, uint64_t offset,
                                                                     uint64_t frame_bytes)
{
    // The owner stores columns, cursors, last stamp and then the count. Read the other way round: the count first, the
    // cursors after it, the columns last; then whatever lies below the count is whole. The generation, before and
    // after, tells whether it was the same buffer all the time.
    RawBufferHeader counted = {};
    RawBuffer result;
    if (!file.read_value(offset, counted) || !file.read_value(offset, result.header))
        return std::unexpected("a raw event buffer can't be read");
    if (counted.state == BufferState::free || being_reused(counted, result.header)) return std::nullopt;
    if (counted.state != BufferState::active && counted.state != BufferState::full)
        return std::unexpected("a raw event buffer has an unknown state");
    result.header.event_count = counted.event_count;
    if (!columns_fit(result.header, frame_bytes))
        return std::unexpected("the columns of a raw event buffer lie outside of it");
    if (!copy_columns(file, offset, result.header, result.copy))
        return std::unexpected("the file ends inside a raw event buffer");
    RawBufferHeader after = {};
    if (!file.read_value(offset, after)) return std::unexpected("a raw event buffer can't be read");
    if (being_reused(counted, after)) return std::nullopt;
    if (result.header.event_count > result.copy.column_bytes[0])
        return std::unexpected("a raw event buffer counts more events than it holds");
    return result;
}

const char* fault_of(const EventChunkHeader& header)
{
    const uint64_t bytes = std::accumulate(std::begin(header.column_bytes), std::end(header.column_bytes), uint64_t{0});
    if (bytes > format::kRawBufferBytes) return "an event chunk is larger than the format allows";
    if (header.event_count > header.column_bytes[0]) return "an event chunk counts more events than it holds";
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
        header.stream_sequence != buffer.sequence || header.event_count != buffer.event_count)
        return std::unexpected("an event chunk was overwritten while the trace was read");
    std::array<uint32_t, kColumnCount> column_bytes;
    std::copy(std::begin(header.column_bytes), std::end(header.column_bytes), column_bytes.begin());
    storage.resize(std::accumulate(column_bytes.begin(), column_bytes.end(), size_t{0}));
    const auto done = decompressor_.decompress(std::span(compressed_).subspan(sizeof header), storage);
    if (!done) return std::unexpected("an event chunk can't be decompressed: " + done.error());
    return make_decoder(storage, column_bytes, buffer, version_major_);
}

} // namespace leak::analyzer
