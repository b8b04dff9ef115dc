#include "format/address_code.hpp"

#include <doctest/doctest.h>

#include <array>
#include <memory>
#include <random>
#include <vector>

using namespace leak::format;

namespace {

// The codes of `addresses` as one buffer has them.
std::vector<uint8_t> coded(const std::vector<uint64_t>& addresses)
{
    const auto encoder = std::make_unique<AddressEncoder>();
    encoder->begin();
    std::vector<uint8_t> bytes(addresses.size() * kMaxAddressBytes);
    uint8_t* at = bytes.data();
    uint32_t index = 0;
    for (const uint64_t address : addresses) {
        uint8_t* end = encoder->put(at, address, index++);
        CHECK(end - at <= kMaxAddressBytes);
        at = end;
    }
    bytes.resize(static_cast<size_t>(at - bytes.data()));
    return bytes;
}

// What a reader makes of codes; shorter where it finds them damaged.
std::vector<uint64_t> decoded(const std::vector<uint8_t>& bytes, size_t count, uint16_t version_major = kVersionMajor)
{
    AddressDecoder<> decoder(version_major, static_cast<uint32_t>(count));
    const uint8_t* at = bytes.data();
    std::vector<uint64_t> addresses;
    for (uint64_t address = 0; addresses.size() < count; addresses.push_back(address))
        if (!decoder.get(at, bytes.data() + bytes.size(), address)) return addresses;
    CHECK(at == bytes.data() + bytes.size());
    return addresses;
}

} // namespace

TEST_CASE("addresses read back as they were written: blocks, odd ones, repeated ones, and numbers that are none")
{
    std::mt19937_64 random(5);
    std::vector<uint64_t> addresses = {0,
                                       0,
                                       UINT64_MAX,
                                       UINT64_MAX,
                                       1,
                                       0,
                                       (uint64_t{1} << 47) - 1,
                                       uint64_t{1} << 47,
                                       (uint64_t{1} << 47) - 1,
                                       uint64_t{1} << 48,
                                       uint64_t{0xffff} << 47};
    for (unsigned bit = 0; bit < 64; ++bit)
        for (const uint64_t one = uint64_t{1} << bit; const uint64_t address : {one - 1, one, one + 1, ~one})
            addresses.push_back(address);
    for (unsigned i = 0; i < 5'000; ++i) {
        addresses.push_back(0x7f0000000000 + random() % 3'000 * 16);
        if (i % 3 == 0) addresses.push_back(random() >> (i % 64));
        if (i % 5 == 0) addresses.push_back(addresses[random() % addresses.size()] + i % 32);
    }
    CHECK(decoded(coded(addresses), addresses.size()) == addresses);
}

TEST_CASE("the last event of a full buffer can refer to the first")
{
    std::vector<uint64_t> addresses(kMaxRawBufferBytes / kMinRowBytes, 0x1000);
    addresses.front() = addresses.back() = 0x5000;
    CHECK(decoded(coded(addresses), addresses.size()) == addresses);
}

TEST_CASE("neighbouring blocks, and blocks seen a short while before, take one byte")
{
    const auto bytes_more = [](std::vector<uint64_t> before, uint64_t address) {
        const size_t had = coded(before).size();
        before.push_back(address);
        return coded(before).size() - had;
    };
    for (const int64_t distance : {-240, -32, 16, 240})
        CHECK(bytes_more({0x7f0000001000}, 0x7f0000001000 + static_cast<uint64_t>(distance)) == 1);
    CHECK(bytes_more({0x7f0000001000, 0x55550000, 0x7fff00000000}, 0x7f0000001000) == 1);
}

TEST_CASE("a code that refers to an event before the buffer, or to none, is damage")
{
    CHECK(decoded({8, 3, 5}, 3) == std::vector<uint64_t>{16, 16, 16}); // the first, the first, the first
    CHECK(decoded({3}, 1).empty());
    CHECK(decoded({8, 5}, 2).size() == 1);
    CHECK(decoded({8, 1}, 2).size() == 1);
    CHECK(decoded({2}, 1).empty()); // the low bits are missing
    CHECK(decoded({0x80}, 1).empty());
}

TEST_CASE("version 1 has distances only")
{
    CHECK(decoded({4, 2, 3, 7}, 3, 1) == std::vector<uint64_t>{16, 0, static_cast<uint64_t>(-16) + 7});
}
