#include "tests/fuzz/mutator.hpp"

#include "format/checksum.hpp"
#include "format/layout.hpp"

#include <algorithm>
#include <cstring>

namespace leak::test {

using namespace leak::format;

namespace {

template <typename T> [[nodiscard]] bool read(const std::vector<std::byte>& bytes, size_t at, T& value)
{
    if (at > bytes.size() || bytes.size() - at < sizeof value) return false;
    std::memcpy(&value, bytes.data() + at, sizeof value);
    return true;
}

template <typename T> void write(std::vector<std::byte>& bytes, size_t at, const T& value)
{
    std::memcpy(bytes.data() + at, &value, sizeof value);
}

template <typename Frame> void repair(std::vector<std::byte>& bytes, size_t at)
{
    Frame frame = {};
    if (!read(bytes, at, frame)) return;
    frame.checksum = LEAK_CHECKSUM_UP_TO(frame, checksum);
    write(bytes, at, frame);
}

void repair_header(std::vector<std::byte>& bytes, size_t at)
{
    FileHeader header = {};
    if (!read(bytes, at, header)) return;
    constexpr size_t from = offsetof(FileHeader, version_major);
    constexpr size_t to = offsetof(FileHeader, immutable_checksum);
    header.immutable_checksum = checksum(bytes.data() + at + from, to - from);
    write(bytes, at, header);
}

void repair_journal(std::vector<std::byte>& bytes, size_t at)
{
    RecordHeader record = {};
    for (at += sizeof(JournalHeader); read(bytes, at, record) && record.bytes >= sizeof record;
         at += align8(record.bytes)) {
        if (record.bytes > bytes.size() - at) return;
        constexpr size_t from = offsetof(RecordHeader, type);
        record.checksum = checksum(bytes.data() + at + from, record.bytes - from);
        write(bytes, at, record);
    }
}

} // namespace

void repair_checksums(std::vector<std::byte>& bytes)
{
    FrameHeader frame = {};
    for (size_t at = 0; read(bytes, at, frame); at += 8) {
        if (frame.magic != kFrameMagic || frame.tag != kFrameTag) continue;
        if (frame.kind == FrameKind::slot) repair<SlotHeader>(bytes, at);
        if (frame.kind == FrameKind::header) repair_header(bytes, at);
        if (is_chunk(frame.kind)) repair<EventChunkHeader>(bytes, at);
        if (frame.kind == FrameKind::journal) repair_journal(bytes, at);
    }
}

// Most of a small trace is empty: nine times of ten something that is not.
size_t Mutator::pick_offset(const std::vector<std::byte>& bytes)
{
    size_t at = below(bytes.size());
    if (below(10) == 0) return at;
    for (size_t tries = 0; tries < 200 && bytes[at] == std::byte{0}; ++tries) at = below(bytes.size());
    return at;
}

void Mutator::change_something(std::vector<std::byte>& bytes)
{
    const size_t at = pick_offset(bytes);
    const size_t room = bytes.size() - at;
    switch (below(6)) {
    case 0:
        bytes[at] ^= static_cast<std::byte>(1u << below(8));
        return;
    case 1:
        bytes[at] = static_cast<std::byte>(below(256));
        return;
    case 2: { // a number at its edges
        constexpr uint64_t edges[] = {0, 1, 0x7f, 0xffff, 0x7fffffff, 0xffffffff, INT64_MAX, UINT64_MAX};
        const uint64_t value = edges[below(std::size(edges))];
        const size_t aligned = at & ~size_t{3};
        std::memcpy(bytes.data() + aligned, &value, std::min({bytes.size() - aligned, size_t{4} << below(2)}));
        return;
    }
    case 3: { // a piece moved elsewhere
        const size_t to = pick_offset(bytes);
        std::memmove(bytes.data() + to, bytes.data() + at, std::min({below(4096), room, bytes.size() - to}));
        return;
    }
    case 4: // a piece blotted out
        std::fill_n(bytes.begin() + static_cast<std::ptrdiff_t>(at), std::min(below(512), room),
                    static_cast<std::byte>(below(2) * 0xff));
        return;
    default:
        if (below(8) == 0) bytes.resize(at + 1);
    }
}

std::vector<std::byte> Mutator::mutate(const std::vector<std::byte>& original)
{
    std::vector<std::byte> bytes = original;
    if (bytes.empty()) return bytes;
    const size_t changes = 1 + below(12);
    for (size_t i = 0; i < changes; ++i) change_something(bytes);
    if (below(4) != 0) repair_checksums(bytes);
    return bytes;
}

} // namespace leak::test
