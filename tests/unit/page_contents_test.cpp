#include "preload/snapshot/page_contents.hpp"

#include <doctest/doctest.h>

#include <map>
#include <random>

using leak::preload::PageContents;

namespace {

constexpr uint64_t kNever = 0;

// Since when the page has held this; kNever: it did not.
uint64_t held_since(PageContents::Reader& reader, uint64_t page, uint32_t checksum)
{
    uint64_t since = kNever;
    const bool is_held = reader.held(page, checksum, since);
    CHECK(is_held == (since != kNever));
    return since;
}

} // namespace

TEST_CASE("what pages held is known by their numbers, gaps and changes included")
{
    std::mt19937_64 random(1);
    PageContents contents;
    REQUIRE(contents.map(4000));
    std::map<uint64_t, std::pair<uint32_t, uint64_t>> truth;
    for (uint64_t page = 100; truth.size() < 4000; page += random() % 8 == 0 ? 1 + random() % 50 : 1) {
        const auto checksum = static_cast<uint32_t>(random());
        const uint64_t since = 1 + random() % 4 / 3;
        truth[page] = {checksum, since};
        contents.add(page, checksum, since);
    }
    PageContents::Reader reader(contents);
    for (uint64_t page = 90; page < truth.rbegin()->first + 10; ++page) {
        const auto known = truth.find(page);
        if (known == truth.end()) {
            CHECK(held_since(reader, page, 7) == kNever);
        } else if (page % 3 == 0) {
            CHECK(held_since(reader, page, known->second.first + 1) == kNever);
        } else {
            CHECK(held_since(reader, page, known->second.first) == known->second.second);
        }
    }
    contents.unmap();
}

TEST_CASE("pages without room are left out")
{
    PageContents contents;
    REQUIRE(contents.map(2));
    for (uint64_t page = 1; page <= 4; ++page) contents.add(page, 5, 9);
    PageContents::Reader reader(contents);
    CHECK(held_since(reader, 1, 5) == 9);
    CHECK(held_since(reader, 2, 5) == 9);
    CHECK(held_since(reader, 3, 5) == kNever);
    contents.unmap();
}

TEST_CASE("before the first snapshot nothing is known")
{
    PageContents none, next;
    PageContents::Reader reader(none);
    CHECK(held_since(reader, 1, 5) == kNever);
    none.add(1, 5, 9);
    REQUIRE(next.map(1));
    next.add(1, 5, 9);
    none.take(next);
    PageContents::Reader after(none);
    CHECK(held_since(after, 1, 5) == 9);
    CHECK_FALSE(next.exists());
    none.unmap();
}
