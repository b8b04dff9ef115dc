// Writes the golden files of the current format version, which is in their names, into a directory. Run by hand when a
// version is made; the files are checked in, and tests read those.
//   ninja -C build tests/golden/make_golden && build/tests/golden/make_golden tests/golden
#include "tests/golden/golden_trace.hpp"

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <span>
#include <string>
#include <string_view>
#include <vector>

using namespace leak;

namespace {

using Bytes = std::span<const std::byte>;

void write(const std::filesystem::path& path, Bytes bytes)
{
    std::ofstream file(path, std::ios::binary);
    file.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
}

std::byte* first_raw_buffer(std::vector<std::byte>& image)
{
    return image.data() + test::TraceLayout::compact().raw_at;
}

// The first frame of a slot, which is not the first one.
std::byte* slot_body(std::vector<std::byte>& image, size_t slot)
{
    return image.data() + slot * test::TraceLayout::compact().slot_bytes + sizeof(format::SlotHeader);
}

void write_broken(const std::filesystem::path& directory, const std::string& version)
{
    auto image = test::golden_trace(test::TraceLayout::compact()).image();
    const auto whole = image;
    first_raw_buffer(image)[sizeof(format::RawBufferHeader)] =
        std::byte{0}; // the first row is no kind of event any more
    write(directory / (version + "-flipped.zst"), image);

    image = whole;
    slot_body(image, 1)[sizeof(format::EventChunkHeader) + 40] ^= std::byte{0x10};
    write(directory / (version + "-damaged.zst"), image);

    image = whole;
    image[test::TraceLayout::compact().others_journal_at + sizeof(format::JournalHeader) +
          sizeof(format::RecordHeader)] ^= std::byte{0x10}; // the text of the first mark
    write(directory / (version + "-mark-damaged.zst"), image);

    constexpr size_t kInTheThirdChunk = 700;
    const auto cut = static_cast<size_t>(slot_body(image, 1) - image.data()) + kInTheThirdChunk;
    write(directory / (version + "-truncated.zst"), Bytes(whole).first(cut));

    image = test::wrapped_golden_trace(test::TraceLayout::compact()).image();
    slot_body(image, 2)[sizeof(format::PartHeader) + 40] ^= std::byte{0x10};
    write(directory / (version + "-wrapped-damaged.zst"), image);

    image = test::snapshot_golden_trace(test::TraceLayout::compact()).image();
    const auto snapshot = image.size() - test::TraceLayout::compact().slot_bytes; // its slot is the last
    image[snapshot + sizeof(format::SlotHeader) + sizeof(format::PartHeader) + 20] ^= std::byte{0x10};
    write(directory / (version + "-snapshot-damaged.zst"), image);
}

// What no reader of this version takes for a trace of its own: made once.
void write_foreign(const std::filesystem::path& directory)
{
    if (exists(directory / "foreign.zst")) return;
    constexpr std::string_view text = "#!/bin/sh\necho 'a script is no trace'\n";
    write(directory / "foreign.zst", std::as_bytes(std::span(text)));
    write(directory / "empty.zst", {});
    auto newer = test::golden_trace(test::TraceLayout::compact());
    newer.header.version_major = 4;
    newer.header.version_minor = 0;
    write(directory / "v4.0-newer.zst", newer.image());
}

} // namespace

int main(int argc, char** argv)
{
    if (argc != 2) {
        std::fprintf(stderr, "usage: make_golden DIRECTORY\n");
        return 2;
    }
    const std::filesystem::path directory = argv[1];
    const std::string version =
        "v" + std::to_string(format::kVersionMajor) + "." + std::to_string(format::kVersionMinor);
    const auto layout = test::TraceLayout::compact();
    test::golden_trace(layout).save(directory / (version + ".zst"));
    test::wrapped_golden_trace(layout).save(directory / (version + "-wrapped.zst"));
    test::forgotten_golden_trace(layout).save(directory / (version + "-forgotten.zst"));
    test::snapshot_golden_trace(layout).save(directory / (version + "-snapshot.zst"));
    test::killed_golden_trace(layout).save(directory / (version + "-killed.zst"));
    write_broken(directory, version);
    write_foreign(directory);
    return 0;
}
