// The pieces events come in: raw buffers and compressed chunks, where they lie, and how to get at their columns.
//
// One thread a reader. Memory: one BufferRef a buffer of the file, and the copies of the raw ones; a chunk is read when
// its turn comes.
#pragma once

#include "analyzer/decode/file_reader.hpp"
#include "analyzer/decode/raw_buffer.hpp"
#include "analyzer/ids.hpp"
#include "format/chunk.hpp"
#include "format/event_decoder.hpp"
#include "format/layout.hpp"

#include <cstdint>
#include <expected>
#include <limits>
#include <new>
#include <span>
#include <string>
#include <vector>

namespace leak::analyzer {

inline constexpr uint32_t kNoRawCopy = std::numeric_limits<uint32_t>::max();

struct BufferRef {
    uint64_t sequence = 0; // in its stream
    uint64_t base_stamp = 0;
    uint64_t last_stamp = 0;
    uint64_t offset = 0;        // of the frame in the file
    uint64_t slot_sequence = 0; // of two that say the same the higher holds
    uint32_t event_count = 0;
    uint32_t compressed_bytes = 0;  // of a chunk
    uint32_t raw_copy = kNoRawCopy; // index into RawCopies
    bool in_rows = false;           // a chunk that was not compressed
};

using RawCopies = std::vector<RawCopy>;

// A thread at one nesting level, and all of its buffers in order of their sequence.
struct Stream {
    ThreadId thread;
    uint32_t level = 0;
    std::vector<BufferRef> buffers;
    uint32_t folded_events = 0; // of the first buffer: not to be replayed again
};

// What is wrong with a chunk header whose checksum holds, or nullptr.
[[nodiscard]] const char* fault_of(const format::EventChunkHeader& header);

// Brings the columns of one buffer after another into memory.
class BufferLoader {
public:
    // version_major: of the trace.
    BufferLoader(const FileReader& file, const RawCopies& raw_copies, uint16_t version_major)
        : file_(file), raw_copies_(raw_copies), version_major_(version_major),
          memory_(format::Decompressor::memory_bytes() / sizeof(uint64_t))
    {
        if (!decompressor_.init(std::as_writable_bytes(std::span(memory_)))) throw std::bad_alloc();
    }

    // A decoder over the events of `buffer`. It reads from `storage` (or the raw copy), which must live as long.
    [[nodiscard]] std::expected<format::EventDecoder, std::string> load(const BufferRef& buffer,
                                                                        std::vector<std::byte>& storage);

private:
    const FileReader& file_;
    const RawCopies& raw_copies_;
    uint16_t version_major_;
    std::vector<uint64_t> memory_; // the decompressor's
    format::Decompressor decompressor_;
    std::vector<std::byte> compressed_;
};

} // namespace leak::analyzer
