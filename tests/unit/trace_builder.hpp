// Makes trace files for tests, by the encoders the preload uses. Deterministic: the same calls make the same bytes.
//
// Test code only; allocates, one thread.
#pragma once

#include "format/event_rows.hpp"
#include "format/layout.hpp"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace leak::test {

using format::EventKind;

// Where the frames of slot 0 lie. The compact one makes files small enough to damage at every byte.
struct TraceLayout {
    uint32_t slot_bytes = format::kSlotBytes;
    uint32_t others_journal_at = format::kOthersJournalOffset;
    uint32_t journal_at = format::kFirstJournalOffset;
    uint32_t pcs_at = format::kFirstPcsOffset;
    uint32_t raw_at = format::kFirstRawOffset;
    uint32_t raw_bytes = format::kRawBufferBytes;

    [[nodiscard]] static TraceLayout compact() { return {format::kMinSlotBytes, 2048, 4096, 8192, 32768, 16384}; }
};

struct TestEvent {
    EventKind kind = EventKind::none;
    uint64_t stamp = 0;
    uint64_t address = 0;
    uint64_t size = 0;
    std::vector<uint32_t> stack{}; // pc ids, outermost first
    uint8_t extra = 0;
    bool truncated = false;
};

struct TestModule {
    uint32_t index = 1;
    std::string path;
    uint64_t start = 0;
    uint64_t end = 0;
    std::string build_id{};
    uint64_t stamp = 0;
};

class TraceBuilder {
public:
    explicit TraceBuilder(TraceLayout layout = {});

    // Fields of the file header; the checksum is made by image(). The clock is CLOCK_MONOTONIC: a stamp is a time in
    // ns, the trace starts at stamp 0.
    format::FileHeader header{};

    // The id of a code address, for TestEvent::stack.
    uint32_t pc(uint64_t address, uint32_t module_index = 0);

    void record(format::RecordType type, uint64_t stamp, std::string_view payload, uint16_t flags = 0);
    // A mark from outside.
    void others_mark(uint64_t stamp, std::string_view text);
    void process(const std::string& exe, const std::string& cwd, const std::vector<std::string>& args);
    void parent(uint64_t trace_id, uint32_t pid, uint64_t fork_stamp, const std::string& path);
    void module(const TestModule& module);
    void thread(uint32_t index, uint32_t tid, const std::string& name, uint64_t stamp = 0);

    // Appends an event to the stream of a thread.
    void event(uint32_t thread, const TestEvent& event, uint32_t level = 0);

    // Ends the current buffer of a stream: its events become a chunk.
    void flush(uint32_t thread, uint32_t level = 0);
    void flush_all();
    // Where the stream's last event is: the sequence of its buffer, and how many events that has up to it.
    [[nodiscard]] std::pair<uint64_t, uint32_t> position(uint32_t thread, uint32_t level = 0);
    // Adds a snapshot: its stream, decompressed.
    void snapshot(std::vector<std::byte> stream, uint64_t stamp, uint64_t number = 1);

    // Makes the trace one that has wrapped: with this carried state, decompressed.
    void carry(std::vector<std::byte> state, uint64_t last_stamp, uint64_t number = 1);
    // Leaves out the chunks there are: their events were folded, their slots used again.
    void drop_chunks() { chunks_.clear(); }
    // Leaves out what the stream has in its current buffer: a hole in its sequence.
    void lose_buffer(uint32_t thread, uint32_t level = 0);
    // Keeps a flushed buffer in its raw form too, as a process does that is killed between the two.
    bool keep_flushed_raw = false;
    // Flushed buffers become chunks of rows, as where the writer has no processor to spare.
    bool stores_rows = false;

    // The file. Buffers that were not flushed are raw.
    [[nodiscard]] std::vector<std::byte> image();
    void save(const std::filesystem::path& path);

private:
    struct StreamState {
        format::RowWriter rows;
        std::vector<uint64_t> memory; // of the current buffer; words, for its alignment
        std::vector<uint32_t> stack;
        uint64_t next_sequence = 0;

        [[nodiscard]] format::RawBufferHeader& header()
        {
            return *reinterpret_cast<format::RawBufferHeader*>(memory.data());
        }
        [[nodiscard]] std::span<const std::byte> bytes() const { return std::as_bytes(std::span(memory)); }
    };
    struct JournalFrame {
        std::vector<std::byte> bytes; // as it will be
        size_t used = 0;

        JournalFrame(uint32_t frame_bytes, format::JournalOwner owner);
        void append(format::RecordType type, uint64_t stamp, std::string_view payload, uint16_t flags);
    };
    struct Chunk {
        format::EventChunkHeader header{};
        std::vector<std::byte> compressed;
    };
    using StreamKey = std::pair<uint32_t, uint32_t>;

    [[nodiscard]] StreamState& stream(uint32_t thread, uint32_t level, uint64_t stamp);
    void begin_buffer(StreamState& state, uint32_t thread, uint32_t level, uint64_t stamp) const;
    std::byte* add_slot(std::vector<std::byte>& file, format::SlotKind kind);
    void put_start_slot(std::byte* slot);
    void put_chunks(std::vector<std::byte>& file);
    void put_raw_buffers(std::vector<std::byte>& file);
    void put_parts(std::vector<std::byte>& file, format::FrameKind frame, format::SlotKind slot, uint64_t number,
                   std::span<const std::byte> stream);

    TraceLayout layout_;
    std::vector<format::PcEntry> pcs_;
    JournalFrame others_journal_;
    JournalFrame journal_;
    std::map<StreamKey, std::unique_ptr<StreamState>> streams_;
    std::vector<Chunk> chunks_;
    std::vector<std::vector<std::byte>> kept_raw_;
    std::vector<std::byte> carried_;
    std::vector<std::byte> snapshot_;
    uint64_t slot_sequence_ = 0;
};

// A file of this process that is gone when the object is.
class TempTrace {
public:
    explicit TempTrace(std::span<const std::byte> bytes);
    ~TempTrace();
    TempTrace(const TempTrace&) = delete;
    TempTrace& operator=(const TempTrace&) = delete;
    [[nodiscard]] const std::filesystem::path& path() const { return path_; }
    void replace(std::span<const std::byte> bytes) const;

private:
    int fd_;
    std::filesystem::path path_;
};

} // namespace leak::test
