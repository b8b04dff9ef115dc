// Writes the golden files of the current format version into a directory. Run by hand when a version is made; the files
// are checked in, and tests read those.
#include "tests/golden/golden_trace.hpp"

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <span>
#include <string_view>

namespace {

using Bytes = std::span<const std::byte>;

void write(const std::filesystem::path& path, Bytes bytes)
{
    std::ofstream file(path, std::ios::binary);
    file.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
}

void write_broken(const std::filesystem::path& directory)
{
    using namespace leak;
    auto image = test::golden_trace(test::TraceLayout::compact()).image();
    auto* const raw = image.data() + test::TraceLayout::compact().raw_at;
    raw[sizeof(format::RawBufferHeader)] = std::byte{0}; // of the first row, which is no kind of event any more
    write(directory / "v3.0-flipped.zst", image);
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
    leak::test::golden_trace({}).save(std::filesystem::path(argv[1]) / "v3.0.zst");
    write_broken(argv[1]);
    return 0;
}
