#include "analyzer/decode/file_header.hpp"

#include "analyzer/decode/trace_file.hpp"
#include "analyzer/user_error.hpp"
#include "tests/unit/trace_builder.hpp"

#include <doctest/doctest.h>

#include <cstring>
#include <string>
#include <string_view>

using namespace leak::analyzer;
using namespace leak::test;

namespace {

// The one line that opening such a file gives.
std::string refusal_of(std::span<const std::byte> bytes)
{
    const TempTrace file(bytes);
    try {
        static_cast<void>(open_trace(file.path()));
    } catch (const UserError& error) {
        return error.what();
    }
    return "";
}

std::string refusal_of(std::string_view text)
{
    return refusal_of(std::as_bytes(std::span(text.data(), text.size())));
}

bool says(const std::string& message, std::string_view words)
{
    CAPTURE(message);
    return message.find(words) != std::string::npos;
}

} // namespace

TEST_CASE("a missing file, a directory and a device are refused by name")
{
    for (const char* path : {"/nonexistent/trace.zst", "/tmp", "/dev/null"}) {
        CHECK_THROWS_AS(static_cast<void>(open_trace(path)), UserError);
        try {
            static_cast<void>(open_trace(path));
        } catch (const UserError& error) {
            CHECK(says(error.what(), path));
        }
    }
}

TEST_CASE("empty, foreign and zero files say what they are")
{
    CHECK(says(refusal_of(""), "empty"));
    CHECK(says(refusal_of("#!/bin/sh\necho this is a script\n"), "no trace"));
    CHECK(says(refusal_of("x"), "no trace"));
    CHECK(says(refusal_of(std::string(1000, '\0')), "nothing in the file yet"));
    CHECK(says(refusal_of(std::string("\x28\xb5\x2f\xfd", 4) + std::string(500, 'x')), "zstd file"));
}

TEST_CASE("a trace cut inside its header is refused with the place")
{
    TraceBuilder builder;
    const auto image = builder.image();
    CHECK(says(refusal_of(std::span(image).first(100)), "offset 100: the file ends inside its header"));
}

TEST_CASE("a newer major version is refused by both numbers, an older one and another minor one are read")
{
    TraceBuilder builder;
    builder.header.version_major = leak::format::kVersionMajor + 1;
    builder.header.version_minor = 5;
    const std::string message = refusal_of(builder.image());
    CHECK(says(message, "version " + std::to_string(leak::format::kVersionMajor + 1) + ".5"));
    CHECK(says(message, "offset 64"));
    for (const uint16_t major : {uint16_t{1}, leak::format::kVersionMajor}) {
        builder.header.version_major = major;
        CHECK(refusal_of(builder.image()).empty());
    }
    builder.header.version_major = 0;
    CHECK(says(refusal_of(builder.image()), "version 0.5"));
}

TEST_CASE("a header whose checksum is wrong is refused")
{
    TraceBuilder builder;
    auto image = builder.image();
    image[leak::format::kFileHeaderOffset + 30] ^= std::byte{1};
    CHECK(says(refusal_of(image), "offset 64: the checksum"));
}

TEST_CASE("an impossible slot size is refused")
{
    for (const uint32_t bytes : {0u, 1u, 1024u, 100'000u, 1u << 30}) {
        TraceBuilder builder;
        builder.header.slot_bytes = bytes;
        CHECK(says(refusal_of(builder.image()), "slot size"));
    }
}
