#include "format/varint.hpp"

#include <doctest/doctest.h>

#include <array>
#include <random>
#include <vector>

using namespace leak::format;

namespace {

// Values at the edges of every encoded length, and random ones.
std::vector<uint64_t> interesting_values()
{
    std::vector<uint64_t> values = {0, UINT64_MAX};
    for (unsigned bit = 0; bit < 64; ++bit) {
        const uint64_t one = uint64_t{1} << bit;
        values.insert(values.end(), {one - 1, one, one + 1, ~one});
    }
    std::mt19937_64 random(1);
    for (unsigned i = 0; i < 10'000; ++i) values.push_back(random() >> (i % 64));
    return values;
}

} // namespace

TEST_CASE("a varint reads back as it was written")
{
    for (const uint64_t value : interesting_values()) {
        std::array<uint8_t, kMaxVarintBytes> bytes{};
        const uint8_t* end = put_varint(bytes.data(), value);
        REQUIRE(end <= bytes.data() + bytes.size());
        const uint8_t* at = bytes.data();
        uint64_t read = 0;
        REQUIRE(get_varint(at, end, read));
        CHECK(read == value);
        CHECK(at == end);
    }
}

TEST_CASE("a varint that is cut off is refused at every length")
{
    std::array<uint8_t, kMaxVarintBytes> bytes{};
    const uint8_t* end = put_varint(bytes.data(), UINT64_MAX);
    for (const uint8_t* cut = bytes.data(); cut != end; ++cut) {
        const uint8_t* at = bytes.data();
        uint64_t read = 0;
        CHECK_FALSE(get_varint(at, cut, read));
    }
}

TEST_CASE("a varint of more than 64 bits is refused")
{
    std::array<uint8_t, 12> bytes{};
    bytes.fill(0x80);
    bytes[11] = 0;
    const uint8_t* at = bytes.data();
    uint64_t read = 0;
    CHECK_FALSE(get_varint(at, bytes.data() + bytes.size(), read));

    bytes.fill(0xff);
    bytes[9] = 0x02; // bit 64
    at = bytes.data();
    CHECK_FALSE(get_varint(at, bytes.data() + bytes.size(), read));
}

TEST_CASE("zigzag keeps small distances small and undoes itself")
{
    CHECK(zigzag(0) == 0);
    CHECK(zigzag(-1) == 1);
    CHECK(zigzag(1) == 2);
    CHECK(zigzag(INT64_MIN) == UINT64_MAX);
    for (const uint64_t value : interesting_values())
        CHECK(unzigzag(zigzag(static_cast<int64_t>(value))) == static_cast<int64_t>(value));
}
