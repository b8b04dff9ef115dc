// Which threads have recorded events in which MiB.
#include "preload/block_regions.hpp"

#include <doctest/doctest.h>

#include <thread>
#include <vector>

using namespace leak::preload;

namespace {

constexpr uint64_t kMiB = BlockRegions::kRegionBytes;
constexpr uint64_t kAt = 0x7f12'3450'0000;

} // namespace

TEST_CASE("a MiB is the first thread's until another one comes, and never again")
{
    BlockRegions regions;
    const BlockRegions::Owner first = regions.owner_for(0), second = regions.owner_for(1);
    CHECK(first != second);
    CHECK(regions.owner(kAt) == BlockRegions::kNobody);
    regions.note(kAt + 100, 16, first);
    CHECK(regions.owner(kAt) == first);
    regions.note(kAt + 200, 0, first);
    CHECK(regions.owner(kAt) == first);
    regions.note(kAt + 300, 0, second);
    CHECK(regions.is_several(regions.owner(kAt)));
    CHECK(!regions.is_several(first));
    regions.note(kAt, 16, first);
    CHECK(regions.is_several(regions.owner(kAt)));
    CHECK(regions.owner(kAt + kMiB) == BlockRegions::kNobody);
}

TEST_CASE("the MiB that a block reaches into are its thread's if nobody's, and stay another's")
{
    BlockRegions regions;
    const BlockRegions::Owner first = regions.owner_for(0), second = regions.owner_for(1);
    regions.note(kAt + kMiB, 16, first);
    regions.note(kAt, 3 * kMiB, second);
    CHECK(regions.owner(kAt) == second);
    CHECK(regions.owner(kAt + kMiB) == first);
    CHECK(regions.owner(kAt + 2 * kMiB) == second);
    CHECK(regions.owner(kAt + 3 * kMiB) == second); // a pointer to its end
    CHECK(regions.owner(kAt + 4 * kMiB) == BlockRegions::kNobody);
    CHECK(regions.owner(kAt, kMiB - 1) == second);
    CHECK(regions.owner(kAt, kMiB) == BlockRegions::kNobody);
}

TEST_CASE("where a large block begins a MiB is nobody's own, when there are several threads")
{
    BlockRegions regions;
    const BlockRegions::Owner first = regions.owner_for(0);
    regions.note(kAt, 3 * kMiB, first);
    regions.note_large(kAt + 16);
    CHECK(regions.owner(kAt) == first);
    regions.begin_several();
    CHECK(regions.is_several(regions.owner(kAt)));
    CHECK(regions.owner(kAt + kMiB) == first);
    regions.note_large(kAt + kMiB);
    CHECK(regions.is_several(regions.owner(kAt + kMiB)));
    CHECK(regions.owner(kAt + 2 * kMiB) == first);
    regions.begin_child(2);
    regions.note(kAt, 16, regions.owner_for(0));
    regions.note_large(kAt + 2 * kMiB);
    CHECK(regions.owner(kAt) == regions.owner_for(0));
    CHECK(!regions.is_several(regions.owner(kAt + 2 * kMiB)));
    regions.begin_several();
    for (uint64_t region = 0; region < 3; ++region) CHECK(regions.is_several(regions.owner(kAt + region * kMiB)));
}

TEST_CASE("a thread without a number owns nothing")
{
    BlockRegions regions;
    regions.note(kAt, 16, BlockRegions::kUnknown);
    CHECK(regions.is_several(regions.owner(kAt)));
    CHECK(regions.owner(kAt) != BlockRegions::kUnknown);
    CHECK(regions.owner_for(UINT32_MAX) == BlockRegions::kUnknown);
}

TEST_CASE("in a child what was the parent's threads' is the first thread's of the child that comes")
{
    BlockRegions regions;
    for (uint32_t thread = 0; thread < 3; ++thread) regions.note(kAt + thread * kMiB, 16, regions.owner_for(thread));
    regions.note(kAt + kMiB, 16, regions.owner_for(0)); // of several
    const BlockRegions::Owner parents[] = {regions.owner_for(0), regions.owner_for(1), regions.owner_for(2)};
    regions.begin_child(3);
    const BlockRegions::Owner first = regions.owner_for(0), second = regions.owner_for(1);
    for (const BlockRegions::Owner parent : parents) {
        CHECK(parent != first);
        CHECK(parent != second);
    }
    for (uint64_t region = 0; region < 3; ++region) {
        CHECK(regions.held_block(kAt + region * kMiB));
        CHECK(!regions.is_several(regions.owner(kAt + region * kMiB)));
        regions.note(kAt + region * kMiB, 0, second);
        CHECK(regions.owner(kAt + region * kMiB) == second);
    }
    regions.note(kAt, 0, first);
    CHECK(regions.is_several(regions.owner(kAt)));

    regions.begin_child(UINT32_MAX); // there are no numbers any more
    CHECK(regions.owner_for(0) == BlockRegions::kUnknown);
    regions.note(kAt, 0, regions.owner_for(0));
    CHECK(regions.is_several(regions.owner(kAt)));
}

TEST_CASE("of threads that come at the same time one owns a MiB, or none")
{
    constexpr uint32_t kThreads = 4;
    constexpr uint64_t kCount = 20'000;
    BlockRegions regions;
    std::vector<std::vector<BlockRegions::Owner>> seen(kThreads, std::vector<BlockRegions::Owner>(kCount));
    {
        std::vector<std::jthread> threads;
        for (uint32_t thread = 0; thread < kThreads; ++thread)
            threads.emplace_back([&, thread] {
                for (uint64_t region = 0; region < kCount; ++region) {
                    // Each leaves every fourth out.
                    if (region % kThreads == thread) continue;
                    regions.note(kAt + region * kMiB, 16, regions.owner_for(thread));
                    seen[thread][region] = regions.owner(kAt + region * kMiB);
                }
            });
    }
    for (uint64_t region = 0; region < kCount; ++region) {
        REQUIRE(regions.is_several(regions.owner(kAt + region * kMiB)));
        for (uint32_t thread = 0; thread < kThreads; ++thread) {
            if (region % kThreads == thread) continue;
            const BlockRegions::Owner was = seen[thread][region];
            REQUIRE((was == regions.owner_for(thread) || regions.is_several(was)));
        }
    }
}
