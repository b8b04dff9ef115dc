#include "analyzer/decode/mark_writer.hpp"

#include "analyzer/decode/file_header.hpp"
#include "analyzer/decode/file_reader.hpp"
#include "analyzer/decode/journal.hpp"
#include "analyzer/decode/running_here.hpp"
#include "analyzer/user_error.hpp"
#include "format/journal.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <sys/file.h>
#include <unistd.h>

namespace leak::analyzer {

using format::JournalHeader;
using format::RecordHeader;

namespace {

// The file of a reader, open for writing; nobody else who asks for the lock has it.
class LockedFile {
public:
    explicit LockedFile(const FileReader& file) : path_(file.path()), fd_(file.open_for_writing())
    {
        if (fd_ < 0) fail("the trace can't be written", "run leakan as the user of the process or as root");
        while (::flock(fd_, LOCK_EX) != 0)
            if (errno != EINTR) fail("the trace can't be locked", "put the trace on a file system that has locks");
    }
    ~LockedFile()
    {
        if (fd_ >= 0) ::close(fd_);
    }
    LockedFile(const LockedFile&) = delete;
    LockedFile& operator=(const LockedFile&) = delete;

    void write_at(uint64_t offset, std::span<const std::byte> bytes) const
    {
        const ssize_t wrote = ::pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
        if (wrote == static_cast<ssize_t>(bytes.size())) return;
        throw UserError(path_, offset,
                        std::string("the mark can't be written: ") + (wrote < 0 ? std::strerror(errno) : "no room") +
                            "; see to the disk");
    }

private:
    [[noreturn]] void fail(const std::string& what, const std::string& remedy)
    {
        const std::string why = std::strerror(errno);
        if (fd_ >= 0) ::close(fd_);
        throw UserError(path_, 0, what + ": " + why + "; " + remedy);
    }

    const std::string& path_;
    int fd_;
};

void check_text(std::string_view text)
{
    if (text.empty()) throw UserError("a mark without text can't be told from others; give it a text");
    if (text.size() > format::kMostMarkBytes)
        throw UserError("the text of a mark has at most " + std::to_string(format::kMostMarkBytes) +
                        " bytes, this one has " + std::to_string(text.size()) + "; give it a shorter one");
}

// Where the next record goes, and where the room ends; offsets in the file.
struct Room {
    uint64_t begin = 0;
    uint64_t end = 0;
};

[[nodiscard]] Room room_of(const FrameView& frame, const std::string& path)
{
    DamageLog damage;
    std::vector<JournalRecord> records;
    const size_t used = read_journal_frame(frame, records, damage);
    if (!damage.empty())
        throw UserError(path, damage.entries().front().offset,
                        "the marks in the trace are damaged: " + damage.entries().front().what +
                            "; let the program make marks itself (leak_mark)");
    return {frame.offset + std::min(used, frame.bytes.size()), frame.offset + frame.bytes.size()};
}

[[nodiscard]] Room find_room(const FileReader& file, const format::FileHeader& header)
{
    std::vector<std::byte> slot(header.slot_bytes);
    if (file.read_at(0, slot) < slot.size())
        throw UserError(file.path(), file.size_bytes(), "the file was cut: a mark would be lost; trace again");
    std::optional<FrameView> found;
    walk_frames({.bytes = slot}, {.on_frame =
                                      [&](const FrameView& frame) {
                                          JournalHeader journal = {};
                                          if (frame.header.kind == format::FrameKind::journal &&
                                              copy_front(frame.bytes, journal) &&
                                              journal.owner == format::JournalOwner::others)
                                              found = frame;
                                      },
                                  .on_damage = [](uint64_t, const std::string&) {}});
    if (found) return room_of(*found, file.path());
    throw UserError(file.path(), format::kFileHeaderOffset,
                    "the trace has no room for marks from outside, which there is since version 3.3 of the format; "
                    "trace with the libleak.so that belongs to this leakan");
}

// A record as it goes into the file, and the zero word behind it that ends the frame, if `room` has place for both.
[[nodiscard]] std::vector<std::byte> make_record(uint64_t stamp, std::string_view text, uint64_t room)
{
    const size_t bytes = format::align8(sizeof(RecordHeader) + text.size());
    if (bytes > room) return {};
    std::vector<uint64_t> memory((sizeof(JournalHeader) + bytes) / sizeof(uint64_t) + 1);
    auto& frame = *reinterpret_cast<JournalHeader*>(memory.data());
    frame.frame = format::make_frame(format::FrameKind::journal, memory.size() * sizeof(uint64_t));
    static_cast<void>(format::JournalWriter(frame).append(format::RecordType::mark, stamp,
                                                          {format::piece_of_text(text.data(), text.size())}));
    const auto record = std::as_bytes(std::span(memory)).subspan(sizeof(JournalHeader));
    return {record.begin(), record.begin() + static_cast<std::ptrdiff_t>(std::min<uint64_t>(record.size(), room))};
}

} // namespace

void write_mark(const std::filesystem::path& trace, std::string_view text)
{
    check_text(text);
    const FileReader file(trace);
    const format::FileHeader header = read_file_header(file);
    check_running_here(file, header, "the trace can't be marked");
    const LockedFile locked(file);
    // Beyond this point nobody else adds marks.

    const Room room = find_room(file, header);
    const auto now = read_clock(header.stamp_clock);
    if (!now)
        throw UserError(file.path(), format::kFileHeaderOffset,
                        "the trace's clock is none of this machine's; mark a process that runs here");
    const std::vector<std::byte> record = make_record(now->stamp, text, room.end - room.begin);
    if (record.empty())
        throw UserError(file.path(), room.begin,
                        "the trace has no more room for marks from outside; let the program make marks itself "
                        "(leak_mark)");
    constexpr size_t kBytes = sizeof(RecordHeader::bytes); // last: from then on there is a record
    locked.write_at(room.begin + kBytes, std::span(record).subspan(kBytes));
    locked.write_at(room.begin, std::span(record).first(kBytes));
}

} // namespace leak::analyzer
