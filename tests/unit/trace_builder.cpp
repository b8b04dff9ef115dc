#include "tests/unit/trace_builder.hpp"

#include "format/chunk.hpp"
#include "format/journal.hpp"

#include <algorithm>
#include <cstring>
#include <fstream>
#include <stdexcept>
#include <sys/mman.h>
#include <unistd.h>

namespace leak::test {

using namespace leak::format;

namespace {

constexpr uint32_t kDepthLimit = 256;

template <typename T> void put(std::byte* at, const T& value)
{
    std::memcpy(at, &value, sizeof value);
}

void put_padding(std::byte* at, uint64_t bytes)
{
    if (bytes != 0) put(at, make_padding(bytes));
}

// The compressor in memory of its own, for as long as the program runs.
[[nodiscard]] ChunkCompressor& compressor()
{
    static std::vector<uint64_t> memory(ChunkCompressor::memory_bytes(3) / 8 + 1);
    static ChunkCompressor instance;
    static const bool ready = instance.init(std::as_writable_bytes(std::span(memory)), 3);
    if (!ready) throw std::logic_error("no compressor");
    return instance;
}

} // namespace

TraceBuilder::TraceBuilder(TraceLayout layout)
    : layout_(layout), pcs_(1), others_journal_(layout.journal_at - layout.others_journal_at, JournalOwner::others),
      journal_(layout.pcs_at - layout.journal_at, JournalOwner::process)
{
    header.frame = make_frame(FrameKind::header, sizeof(FileHeader));
    header.version_major = kVersionMajor;
    header.version_minor = kVersionMinor;
    header.snapshot_index = 2;
    header.slot_bytes = layout.slot_bytes;
    header.trace_id = 0x1122334455667788;
    header.pid = 4711;
    header.parent_pid = 4710;
    header.stamp_clock = StampClock::monotonic_ns;
    header.elf_machine = 62;
    header.start_unix_ns = 1'700'000'000'000'000'000;
    header.depth_limit = kDepthLimit;
    header.latest_index = 2;
    header.end_state = EndState::exit_started;
}

uint32_t TraceBuilder::pc(uint64_t address, uint32_t module_index)
{
    for (uint32_t id = 1; id < pcs_.size(); ++id)
        if (pcs_[id].address == address && pcs_[id].module_index == module_index) return id;
    pcs_.push_back({address, module_index, 0});
    return static_cast<uint32_t>(pcs_.size() - 1);
}

// -- Journal ---------------------------------------------------------------------------------------------------------

TraceBuilder::JournalFrame::JournalFrame(uint32_t frame_bytes, JournalOwner owner)
    : bytes(frame_bytes), used(sizeof(JournalHeader))
{
    JournalHeader journal = {};
    journal.frame = make_frame(FrameKind::journal, frame_bytes);
    journal.owner = owner;
    put(bytes.data(), journal);
}

void TraceBuilder::JournalFrame::append(RecordType type, uint64_t stamp, std::string_view payload, uint16_t flags)
{
    // A writer for the part of the frame that is left: it takes the place of the last 24 bytes written, and gives them
    // back.
    std::vector<std::byte> part(bytes.size() - used + sizeof(JournalHeader));
    auto& frame = *reinterpret_cast<JournalHeader*>(part.data());
    frame.frame = make_frame(FrameKind::journal, part.size());
    JournalWriter writer(frame);
    if (!writer.append(type, stamp, {piece_of_text(payload.data(), payload.size())}, flags))
        throw std::logic_error("the journal is full");
    const size_t taken = align8(sizeof(RecordHeader) + payload.size());
    std::copy_n(part.begin() + sizeof(JournalHeader), taken, bytes.begin() + static_cast<std::ptrdiff_t>(used));
    used += taken;
}

void TraceBuilder::record(RecordType type, uint64_t stamp, std::string_view payload, uint16_t flags)
{
    journal_.append(type, stamp, payload, flags);
}

void TraceBuilder::others_mark(uint64_t stamp, std::string_view text)
{
    others_journal_.append(RecordType::mark, stamp, text, 0);
}

void TraceBuilder::process(const std::string& exe, const std::string& cwd, const std::vector<std::string>& args)
{
    std::string payload = exe + '\0' + cwd + '\0';
    for (const std::string& arg : args) payload += arg + '\0';
    record(RecordType::process, 0, payload);
}

namespace {

template <typename T> [[nodiscard]] std::string bytes_of(const T& value)
{
    return {reinterpret_cast<const char*>(&value), sizeof value};
}

} // namespace

void TraceBuilder::parent(uint64_t trace_id, uint32_t pid, uint64_t fork_stamp, const std::string& path)
{
    record(RecordType::parent, fork_stamp, bytes_of(ParentRecord{trace_id, pid, 0}) + path);
}

void TraceBuilder::module(const TestModule& module)
{
    ModuleRecord record_head = {};
    record_head.module_index = module.index;
    record_head.segment_count = 1;
    record_head.bias = module.start;
    record_head.start = module.start;
    record_head.end = module.end;
    record_head.build_id_bytes = static_cast<uint32_t>(module.build_id.size());
    record_head.path_bytes = static_cast<uint32_t>(module.path.size());
    const SegmentRecord segment{module.start, module.end, 5, 0};
    record(RecordType::module_loaded, module.stamp,
           bytes_of(record_head) + bytes_of(segment) + module.build_id + module.path);
}

void TraceBuilder::thread(uint32_t index, uint32_t tid, const std::string& name, uint64_t stamp)
{
    record(RecordType::thread_started, stamp, bytes_of(ThreadRecord{index, tid}) + name);
}

// -- Events ----------------------------------------------------------------------------------------------------------

void TraceBuilder::begin_buffer(StreamState& state, uint32_t thread, uint32_t level, uint64_t stamp) const
{
    state.memory.assign(layout_.raw_bytes / sizeof(uint64_t), 0);
    state.header().frame = make_frame(FrameKind::raw_events, layout_.raw_bytes);
    state.header().state = BufferState::active;
    state.header().generation = 2;
    state.rows.begin(state.header(), thread, level, state.next_sequence++, stamp);
    state.stack.clear();
}

TraceBuilder::StreamState& TraceBuilder::stream(uint32_t thread, uint32_t level, uint64_t stamp)
{
    auto& state = streams_[{thread, level}];
    if (!state) state = std::make_unique<StreamState>();
    if (state->memory.empty()) begin_buffer(*state, thread, level, stamp);
    return *state;
}

void TraceBuilder::event(uint32_t thread, const TestEvent& event, uint32_t level)
{
    if (!stream(thread, level, event.stamp).rows.has_room(static_cast<uint32_t>(event.stack.size())))
        flush(thread, level);
    StreamState& state = stream(thread, level, event.stamp);
    EventFields fields;
    fields.kind = event.kind;
    fields.stamp = event.stamp;
    fields.address = event.address;
    fields.size = event.size;
    fields.extra = event.extra;
    fields.stack.truncated = event.truncated;
    if (has_stack(event.kind)) {
        const auto [old_end, new_end] = std::ranges::mismatch(state.stack, event.stack);
        fields.stack.pop_count = static_cast<uint32_t>(state.stack.end() - old_end);
        fields.stack.push_count = static_cast<uint32_t>(event.stack.end() - new_end);
        state.stack = event.stack;
        state.stack.reserve(event.stack.size() + RowWriter::kIdsAtOnce); // append() reads on
        fields.stack.pushed_pc_ids = state.stack.data() + (new_end - event.stack.begin());
        fields.stack.id_bits = 0;
        for (const uint32_t id : event.stack) fields.stack.id_bits |= id;
    }
    state.rows.append(fields);
}

void TraceBuilder::flush(uint32_t thread, uint32_t level)
{
    StreamState& state = *streams_.at({thread, level});
    if (state.memory.empty()) return;
    Chunk chunk;
    const auto frames = stores_rows ? compressor().store(state.header(), state.rows.last_stamp(), chunk.header)
                                    : leak::format::ChunkFrames(compressor().compress(state.header(), chunk.header));
    if (frames.bytes() == 0) throw std::logic_error("a chunk can't be compressed");
    for (const auto piece : frames.pieces) chunk.compressed.insert(chunk.compressed.end(), piece.begin(), piece.end());
    chunks_.push_back(std::move(chunk));
    if (keep_flushed_raw) {
        state.header().state = BufferState::full;
        kept_raw_.emplace_back(state.bytes().begin(), state.bytes().end());
    }
    state.memory.clear();
}

void TraceBuilder::flush_all()
{
    for (const auto& [key, state] : streams_) flush(key.first, key.second);
}

std::pair<uint64_t, uint32_t> TraceBuilder::position(uint32_t thread, uint32_t level)
{
    StreamState& state = *streams_.at({thread, level});
    return {state.next_sequence - 1, row_count(state.header().written)};
}

namespace {

[[nodiscard]] StateRef reference_to(const std::vector<std::byte>& stream, uint64_t stamp, uint64_t number)
{
    const auto parts = static_cast<uint32_t>((stream.size() + kMaxPartBytes - 1) / kMaxPartBytes);
    StateRef reference = {number, stamp, stream.size(), parts, 0};
    reference.checksum = LEAK_CHECKSUM_UP_TO(reference, checksum);
    return reference;
}

} // namespace

void TraceBuilder::carry(std::vector<std::byte> state, uint64_t last_stamp, uint64_t number)
{
    carried_ = std::move(state);
    header.ring_bytes = 32 * kSlotBytes;
    header.carried_index = 0;
    header.carried[0] = reference_to(carried_, last_stamp, number);
}

void TraceBuilder::snapshot(std::vector<std::byte> stream, uint64_t stamp, uint64_t number)
{
    snapshot_ = std::move(stream);
    header.snapshot_index = 1;
    header.snapshots[1] = reference_to(snapshot_, stamp, number);
}

void TraceBuilder::lose_buffer(uint32_t thread, uint32_t level)
{
    streams_.at({thread, level})->memory.clear();
}

// -- The file --------------------------------------------------------------------------------------------------------

std::byte* TraceBuilder::add_slot(std::vector<std::byte>& file, SlotKind kind)
{
    const size_t at = file.size();
    file.resize(at + layout_.slot_bytes);
    SlotHeader slot = {};
    slot.frame = make_frame(FrameKind::slot, sizeof slot);
    slot.trace_id = header.trace_id;
    slot.sequence = ++slot_sequence_;
    slot.kind = kind;
    slot.checksum = LEAK_CHECKSUM_UP_TO(slot, checksum);
    put(file.data() + at, slot);
    put_padding(file.data() + at + sizeof slot, layout_.slot_bytes - sizeof slot);
    return file.data() + at;
}

void TraceBuilder::put_start_slot(std::byte* slot)
{
    const auto* immutable = reinterpret_cast<const std::byte*>(&header) + offsetof(FileHeader, version_major);
    header.immutable_checksum =
        checksum(immutable, offsetof(FileHeader, immutable_checksum) - offsetof(FileHeader, version_major));
    header.sample_check = ~header.sample_bytes;
    put(slot + kFileHeaderOffset, header);
    const uint32_t header_end = kFileHeaderOffset + sizeof header;
    put_padding(slot + header_end, layout_.others_journal_at - header_end);
    std::ranges::copy(others_journal_.bytes, slot + layout_.others_journal_at);
    std::ranges::copy(journal_.bytes, slot + layout_.journal_at);

    PcsHeader pcs = {};
    const uint32_t pcs_bytes = layout_.raw_at - layout_.pcs_at;
    pcs.frame = make_frame(FrameKind::pcs, pcs_bytes);
    pcs.first_id = 1;
    pcs.capacity = static_cast<uint32_t>((pcs_bytes - sizeof pcs) / sizeof(PcEntry));
    if (pcs_.size() - 1 > pcs.capacity) throw std::logic_error("too many pcs for one frame");
    put(slot + layout_.pcs_at, pcs);
    if (pcs_.size() > 1)
        std::memcpy(slot + layout_.pcs_at + sizeof pcs, pcs_.data() + 1, (pcs_.size() - 1) * sizeof(PcEntry));
    put_padding(slot + layout_.raw_at, layout_.slot_bytes - layout_.raw_at);
}

void TraceBuilder::put_chunks(std::vector<std::byte>& file)
{
    std::byte* at = nullptr;
    uint64_t room = 0;
    for (const Chunk& chunk : chunks_) {
        const uint64_t bytes = chunk_bytes(chunk.header.compressed_bytes);
        if (room != bytes && room < bytes + kSkippablePrefixBytes) {
            at = add_slot(file, SlotKind::events) + sizeof(SlotHeader);
            room = layout_.slot_bytes - sizeof(SlotHeader);
        }
        const uint64_t taken = append_chunk(at, room, chunk.header, std::span(chunk.compressed));
        at += taken;
        room -= taken;
    }
}

void TraceBuilder::put_parts(std::vector<std::byte>& file, FrameKind frame, SlotKind slot, uint64_t number,
                             std::span<const std::byte> stream)
{
    static std::vector<uint64_t> memory(PartCompressor::memory_bytes(1) / 8 + 1);
    PartCompressor parts;
    if (!parts.init(std::as_writable_bytes(std::span(memory)), 1)) throw std::logic_error("no compressor");
    std::byte* at = nullptr;
    uint64_t room = 0;
    PartHeader part = {};
    part.frame = make_frame(frame, sizeof part, frame == FrameKind::snapshot ? kIgnorable : uint16_t{0});
    part.number = number;
    for (size_t from = 0; from < stream.size(); from += kMaxPartBytes, ++part.part) {
        const auto plain = stream.subspan(from, std::min<size_t>(stream.size() - from, kMaxPartBytes));
        const auto compressed = parts.compress(plain);
        part.plain_bytes = static_cast<uint32_t>(plain.size());
        part.compressed_bytes = static_cast<uint32_t>(compressed.size());
        part.checksum = LEAK_CHECKSUM_UP_TO(part, checksum);
        if (at == nullptr || !chunk_fits(chunk_bytes<PartHeader>(part.compressed_bytes), room)) {
            at = add_slot(file, slot) + sizeof(SlotHeader);
            room = layout_.slot_bytes - sizeof(SlotHeader);
        }
        const uint64_t taken = append_chunk(at, room, part, compressed);
        at += taken;
        room -= taken;
    }
}

void TraceBuilder::put_raw_buffers(std::vector<std::byte>& file)
{
    std::vector<std::span<const std::byte>> buffers;
    for (const auto& raw : kept_raw_) buffers.emplace_back(raw);
    for (const auto& [key, state] : streams_)
        if (!state->memory.empty()) buffers.push_back(state->bytes());
    size_t at = layout_.raw_at;
    size_t end = layout_.slot_bytes; // of the slot that is being filled
    for (const auto buffer : buffers) {
        if (at + buffer.size() > end) {
            add_slot(file, SlotKind::raw_events);
            at = end + sizeof(SlotHeader);
            end += layout_.slot_bytes;
        }
        std::ranges::copy(buffer, file.data() + at);
        at += buffer.size();
        put_padding(file.data() + at, end - at);
    }
}

std::vector<std::byte> TraceBuilder::image()
{
    std::vector<std::byte> file;
    slot_sequence_ = 0;
    put_start_slot(add_slot(file, SlotKind::start));
    put_raw_buffers(file);
    put_chunks(file);
    put_parts(file, FrameKind::carried, SlotKind::carried, header.carried[0].number, carried_);
    put_parts(file, FrameKind::snapshot, SlotKind::snapshot, header.snapshots[1].number, snapshot_);
    header.slot_count = slot_sequence_;
    put(file.data() + kFileHeaderOffset, header);
    return file;
}

void TraceBuilder::save(const std::filesystem::path& path)
{
    const std::vector<std::byte> bytes = image();
    std::ofstream file(path, std::ios::binary);
    file.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    if (!file) throw std::runtime_error("can't write " + path.string());
}

// -- Files -----------------------------------------------------------------------------------------------------------

TempTrace::TempTrace(std::span<const std::byte> bytes)
    : fd_(memfd_create("trace", MFD_CLOEXEC)), path_("/proc/self/fd/" + std::to_string(fd_))
{
    if (fd_ < 0) throw std::runtime_error("no memory file");
    replace(bytes);
}

TempTrace::~TempTrace()
{
    close(fd_);
}

void TempTrace::replace(std::span<const std::byte> bytes) const
{
    if (ftruncate(fd_, static_cast<off_t>(bytes.size())) != 0) throw std::runtime_error("no memory file");
    for (size_t done = 0; done < bytes.size();) {
        const ssize_t wrote = pwrite(fd_, bytes.data() + done, bytes.size() - done, static_cast<off_t>(done));
        if (wrote <= 0) throw std::runtime_error("the memory file can't be written");
        done += static_cast<size_t>(wrote);
    }
}

} // namespace leak::test
