#include "analyzer/replay/live_table.hpp"

#include <doctest/doctest.h>

#include <random>
#include <unordered_map>

using namespace leak::analyzer;

namespace {

LiveBlock block_at(uint64_t address, uint64_t bytes)
{
    LiveBlock block;
    block.address = address;
    block.bytes = bytes;
    block.kind = leak::format::EventKind::malloc_;
    return block;
}

// Does the same to the table and to a plain map, and compares.
void compare_with_map(unsigned seed, uint64_t address_mask, uint64_t stride)
{
    std::mt19937_64 random(seed);
    LiveTable table;
    std::unordered_map<uint64_t, uint64_t> expected;
    for (unsigned i = 0; i < 200'000; ++i) {
        const uint64_t address = (random() & address_mask) * stride;
        const auto known = expected.find(address);
        if (random() % 2 == 0) {
            const auto old = table.put(block_at(address, i));
            REQUIRE(old.has_value() == (known != expected.end()));
            if (old) REQUIRE(old->bytes == known->second);
            expected[address] = i;
        } else {
            const auto taken = table.take(address);
            REQUIRE(taken.has_value() == (known != expected.end()));
            if (taken) REQUIRE(taken->bytes == known->second);
            expected.erase(address);
        }
        REQUIRE(table.size() == expected.size());
    }
    size_t visited = 0;
    table.for_each([&](const LiveBlock& block) {
        ++visited;
        CHECK(expected.at(block.address) == block.bytes);
    });
    CHECK(visited == expected.size());
    for (const auto& [address, bytes] : expected) {
        REQUIRE(table.find(address) != nullptr);
        CHECK(table.find(address)->bytes == bytes);
    }
}

} // namespace

TEST_CASE("the live table behaves like a map")
{
    compare_with_map(1, 0xfff, 16);
    compare_with_map(2, 0x3ffff, 16);
    compare_with_map(3, 0xff, 1); // neighbours that share a home
    compare_with_map(4, 0xffff, uint64_t{1} << 32);
}

TEST_CASE("the last address and address 0 are addresses like any other")
{
    LiveTable table;
    table.put(block_at(0, 1));
    table.put(block_at(UINT64_MAX, 2));
    CHECK(table.take(0)->bytes == 1);
    CHECK(table.take(UINT64_MAX)->bytes == 2);
    CHECK_FALSE(table.take(0).has_value());
}
