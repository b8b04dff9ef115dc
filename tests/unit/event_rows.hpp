// A raw buffer in memory, and events to fill it with. Test code.
#pragma once

#include "format/event_rows.hpp"

#include <cstdint>
#include <random>
#include <vector>

namespace leak::test {

struct RowBuffer {
    static constexpr uint32_t kThread = 3;
    static constexpr uint32_t kLevel = 1;
    static constexpr uint64_t kSequence = 7;

    std::vector<uint64_t> memory; // words, for its alignment
    format::RowWriter writer;

    explicit RowBuffer(uint64_t base_stamp = 0, uint32_t bytes = format::kRawBufferBytes)
        : memory(bytes / sizeof(uint64_t))
    {
        header().frame = format::make_frame(format::FrameKind::raw_events, bytes);
        writer.begin(header(), kThread, kLevel, kSequence, base_stamp);
    }
    [[nodiscard]] format::RawBufferHeader& header()
    {
        return *reinterpret_cast<format::RawBufferHeader*>(memory.data());
    }
    [[nodiscard]] uint32_t count() { return format::row_count(header().written); }
    [[nodiscard]] std::span<const std::byte> rows()
    {
        const auto all = std::as_bytes(std::span(memory));
        return all.subspan(sizeof header(), format::rows_end(header().written) - sizeof header());
    }
    [[nodiscard]] format::RowReader reader() { return {rows(), count(), header().base_stamp}; }
};

// An event with memory for its pc ids.
struct OwnedEvent {
    format::EventFields fields;
    std::vector<uint32_t> ids;

    void push(std::vector<uint32_t> pushed)
    {
        ids = std::move(pushed);
        ids.reserve(ids.size() + format::RowWriter::kIdsAtOnce); // as RowWriter::append() needs it
        fields.stack.push_count = static_cast<uint32_t>(ids.size());
        fields.stack.pushed_pc_ids = ids.data();
        fields.stack.id_bits = 0;
        for (const uint32_t id : ids) fields.stack.id_bits |= id;
    }
};

// An event whose fields are random but possible, after one with `stamp` and a stack of `depth` frames. Half of the
// events are such as nearly all are in life.
[[nodiscard]] inline OwnedEvent random_event(std::mt19937_64& random, uint64_t stamp, uint32_t& depth,
                                             uint32_t depth_limit = 256)
{
    using namespace format;
    const bool usual = random() % 2 == 0;
    OwnedEvent event;
    EventFields& fields = event.fields;
    fields.kind = static_cast<EventKind>(1 + random() % (kEventKindCount - 1));
    fields.stamp = stamp + (usual ? random() % 300 : (random() >> (random() % 64)) % 1'000'000);
    fields.address = usual ? 0x7f0000000000 + random() % 3'000 * 16 : random() >> (random() % 64);
    fields.size = has_size(fields.kind) ? (usual ? random() % 500 : random() >> (random() % 64)) : 0;
    fields.extra = random() % 8 == 0 ? static_cast<uint8_t>(random()) : uint8_t{0};
    if (!has_stack(fields.kind) || random() % 4 == 0) return event; // without a stack, or with the same
    fields.stack.pop_count = static_cast<uint32_t>(random() % (depth + 1));
    depth -= fields.stack.pop_count;
    std::vector<uint32_t> ids(random() % 8 % (depth_limit - depth + 1));
    for (uint32_t& id : ids) id = static_cast<uint32_t>(usual ? random() % 500 : random() >> (32 + random() % 32));
    event.push(std::move(ids));
    fields.stack.truncated = random() % 2 == 0;
    depth += fields.stack.push_count;
    return event;
}

// Fills a new buffer with random events, whose stamps begin at `base`; returns them.
[[nodiscard]] inline std::vector<OwnedEvent> fill_randomly(RowBuffer& buffer, std::mt19937_64& random, uint64_t base)
{
    std::vector<OwnedEvent> written;
    uint32_t depth = 0;
    for (uint64_t stamp = base; buffer.writer.has_room(8); stamp = written.back().fields.stamp) {
        written.push_back(random_event(random, stamp, depth));
        buffer.writer.append(written.back().fields);
    }
    return written;
}

} // namespace leak::test
