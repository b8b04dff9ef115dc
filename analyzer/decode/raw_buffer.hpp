// Raw buffers: the events that no chunk has yet, as their threads left them.
//
// One thread. A running process reuses its buffers, so their events are copied when the trace is opened.
#pragma once

#include "analyzer/decode/file_reader.hpp"
#include "format/layout.hpp"

#include <array>
#include <cstdint>
#include <expected>
#include <optional>
#include <vector>

namespace leak::analyzer {

// The columns of a raw buffer's events, one behind the other.
struct RawCopy {
    std::array<uint32_t, format::kColumnCount> column_bytes{};
    std::vector<std::byte> bytes;
};

// What can't be read, and how many events it takes with it.
struct RawFault {
    const char* what = nullptr;
    uint64_t lost_events = 0;
};

struct RawBuffer {
    uint32_t thread_index = 0;
    uint32_t level = 0;
    uint64_t sequence = 0; // in its stream
    uint64_t base_stamp = 0;
    uint64_t last_stamp = 0;
    uint32_t event_count = 0;
    RawCopy copy;
    RawFault fault; // `what` is set when the events behind those that are counted are damaged
};

// Copies the raw buffer at `offset`, which has `frame_bytes` bytes, even while its owner is writing. Nothing when it is
// free or was taken into use again meanwhile: its events are then in a chunk. version_major: of the trace.
[[nodiscard]] std::expected<std::optional<RawBuffer>, RawFault>
copy_raw_buffer(const FileReader& file, uint64_t offset, uint64_t frame_bytes, uint16_t version_major);

} // namespace leak::analyzer
