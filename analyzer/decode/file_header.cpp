#include "analyzer/decode/file_header.hpp"

#include "analyzer/user_error.hpp"
#include "format/checksum.hpp"

#include <bit>
#include <cstring>
#include <string>

namespace leak::analyzer {

using format::FileHeader;
using format::kFileHeaderOffset;

namespace {

[[nodiscard]] bool is_frame(const format::FrameHeader& frame, format::FrameKind kind)
{
    return frame.magic == format::kFrameMagic && frame.tag == format::kFrameTag && frame.kind == kind;
}

[[nodiscard]] uint32_t checksum_of(const FileHeader& header)
{
    constexpr size_t from = offsetof(FileHeader, version_major);
    constexpr size_t to = offsetof(FileHeader, immutable_checksum);
    return format::checksum(reinterpret_cast<const std::byte*>(&header) + from, to - from);
}

[[nodiscard]] std::string version_text(const FileHeader& header)
{
    return std::to_string(header.version_major) + "." + std::to_string(header.version_minor);
}

// There is no frame of ours where the file header must be: says what the file looks like instead.
[[noreturn]] void refuse_foreign(const FileReader& file)
{
    format::FrameHeader first = {};
    const bool has_first = file.read_value(0, first);
    if (has_first && is_frame(first, format::FrameKind::slot))
        throw UserError(file.path(), kFileHeaderOffset,
                        "the trace has no sound file header; it can't be read, trace the program again");
    if (has_first && (first.magic == 0 || first.magic == format::kPaddingMagic))
        throw UserError(file.path(), 0,
                        "there is nothing in the file yet: the process ended before it had begun its trace; trace the "
                        "program again");
    if (has_first && first.magic == format::kZstdMagic)
        throw UserError(file.path(), 0,
                        "this is a zstd file but no trace; if a trace was compressed once more, decompress it first");
    throw UserError(file.path(), 0, "this is no trace; name a file that libleak.so wrote (leak.<exe>.<pid>.zst)");
}

} // namespace

FileHeader read_file_header(const FileReader& file)
{
    const uint64_t size = file.size_bytes();
    if (size == 0) throw UserError(file.path(), 0, "the file is empty; trace the program again, with room on the disk");
    FileHeader header = {};
    const bool whole = file.read_value(kFileHeaderOffset, header);
    if (!whole || !is_frame(header.frame, format::FrameKind::header)) {
        format::FrameHeader first = {};
        if (!whole && file.read_value(0, first) && is_frame(first, format::FrameKind::slot))
            throw UserError(file.path(), size, "the file ends inside its header; it can't be read, copy it again");
        refuse_foreign(file);
    }
    if (checksum_of(header) != header.immutable_checksum)
        throw UserError(file.path(), kFileHeaderOffset,
                        "the checksum of the file header is wrong; it can't be read, copy it or trace again");
    if (header.version_major == 0 || header.version_major > format::kVersionMajor)
        throw UserError(file.path(), kFileHeaderOffset,
                        "the trace has format version " + version_text(header) + ", this leakan reads 1.0 to " +
                            std::to_string(format::kVersionMajor) +
                            ".x; use the leakan that belongs to the libleak.so that wrote it");
    // Behind the last field that the version has there is padding.
    const size_t known = format::file_header_bytes(header.version_major, header.version_minor);
    std::memset(reinterpret_cast<std::byte*>(&header) + known, 0, sizeof header - known);
    if (!std::has_single_bit(header.slot_bytes) || header.slot_bytes < format::kMinSlotBytes ||
        header.slot_bytes > format::kMaxSlotBytes)
        throw UserError(file.path(), kFileHeaderOffset,
                        "a slot size of " + std::to_string(header.slot_bytes) + " bytes is not possible; trace again");
    return header;
}

} // namespace leak::analyzer
