#include "analyzer/analysis/retention_rules.hpp"

#include <doctest/doctest.h>

using namespace leak::analyzer;

namespace {

constexpr uint64_t kPage = 4096;
constexpr uint64_t kPages = 1024;
constexpr uint64_t kBytes = kPages * kPage;
constexpr int64_t kSecond = 1'000'000'000;

// Of a run of 10 s whose load stopped after 4 s.
const RunEvidence kRun{.end_ns = 10 * kSecond, .has_unwritten = true, .last_stop_ns = 4 * kSecond};
const RunEvidence kRunWithoutWrites{.end_ns = 10 * kSecond, .has_unwritten = false, .last_stop_ns = 4 * kSecond};

// A block in use: all of it touched and written, and somebody holds its start.
BlockEvidence block_in_use()
{
    BlockEvidence block;
    block.bytes = kBytes;
    block.age_ns = 9 * kSecond;
    block.siblings = {.allocations = 1, .live_blocks = 1, .live_bytes = kBytes};
    block.pages = PageUse{.pages = kPages, .touched = kPages, .touched_end = kBytes};
    block.uses = BlockUses{.pointers_to_start = 1, .is_used_as_whole = true};
    return block;
}

std::optional<RetentionPattern> pattern_of(const BlockEvidence& block, const RunEvidence& run = kRun)
{
    const auto retention = judge_retention(block, run, {});
    return retention ? std::optional(retention->pattern) : std::nullopt;
}

uint64_t wasted_of(const BlockEvidence& block, const RunEvidence& run = kRun)
{
    return judge_retention(block, run, {}).value().wasted_bytes;
}

// Contents of so many bytes at its start, as a vector's header says.
void add_contents(BlockEvidence& block, uint64_t bytes, uint64_t touched_outside)
{
    block.uses->contents = OffsetRange{0, bytes};
    block.outside = PageUse{.pages = (kBytes - bytes) / kPage, .touched = touched_outside};
}

} // namespace

TEST_CASE("a hot full buffer is none")
{
    CHECK(!pattern_of(block_in_use()));
    CHECK(!pattern_of(block_in_use(), kRunWithoutWrites));
}

TEST_CASE("pinned: nobody uses more than a twentieth")
{
    BlockEvidence block = block_in_use();
    block.uses = BlockUses{.pointers_inside = 1, .window = OffsetRange{100 * kPage, 101 * kPage}};
    CHECK(pattern_of(block) == RetentionPattern::pinned);
    CHECK(wasted_of(block) == kBytes - kPage);
    block.uses->window = OffsetRange{100 * kPage, 152 * kPage};
    CHECK(!pattern_of(block)); // 52 pages of 1024 are more
    block.uses->window = OffsetRange{100 * kPage, 101 * kPage};
    block.uses->is_used_as_whole = true;
    CHECK(!pattern_of(block));
}

TEST_CASE("slack: half of it was never touched")
{
    BlockEvidence block = block_in_use();
    block.pages->touched = kPages / 2;
    CHECK(pattern_of(block) == RetentionPattern::slack);
    CHECK(wasted_of(block) == kBytes / 2);
    block.pages->touched = kPages / 2 + 1;
    CHECK(!pattern_of(block));
}

TEST_CASE("a buffer that is being filled is slack where hardly anything is in it yet")
{
    BlockEvidence block = block_in_use();
    block.pages->touched = kPages * 4 / 10;
    add_contents(block, kPages * 4 / 10 * kPage, 0);
    CHECK(!pattern_of(block));
    block.pages->touched = 2;
    add_contents(block, 2 * kPage, 0);
    CHECK(pattern_of(block) == RetentionPattern::slack);
}

TEST_CASE("outgrown: a vector was full and is empty")
{
    BlockEvidence block = block_in_use();
    add_contents(block, 0, kPages);
    CHECK(pattern_of(block, kRunWithoutWrites) == RetentionPattern::outgrown);
    CHECK(wasted_of(block, kRunWithoutWrites) == kBytes);
    SUBCASE("but not where it is filled again and again")
    {
        CHECK(!pattern_of(block, kRun));
        block.outside->steady = kPages;
        CHECK(pattern_of(block, kRun) == RetentionPattern::outgrown);
    }
    SUBCASE("nor where more than half of it is taken")
    {
        add_contents(block, (kPages / 2 + 1) * kPage, kPages / 2 - 1);
        CHECK(!pattern_of(block, kRunWithoutWrites));
    }
}

TEST_CASE("outgrown: what realloc() grew has been at rest since")
{
    BlockEvidence block = block_in_use();
    block.is_reallocated = true;
    block.pages->touched = kPages / 2;
    CHECK(pattern_of(block) == RetentionPattern::slack); // it may just have doubled
    block.pages->unwritten = block.pages->steady = kPages / 2;
    CHECK(pattern_of(block) == RetentionPattern::outgrown);
    CHECK(wasted_of(block) == kBytes / 2); // the other half may be read
    block.is_reallocated = false;
    block.pages->touched = block.pages->unwritten = block.pages->steady = kPages;
    CHECK(pattern_of(block) == RetentionPattern::idle);
    // Copied each time to twice as much.
    block.siblings = {
        .allocations = 6, .releases = 5, .released_bytes = kBytes, .live_blocks = 1, .live_bytes = kBytes};
    CHECK(pattern_of(block) == RetentionPattern::outgrown);
}

TEST_CASE("idle: not written since before the load stopped, for half of the run")
{
    CHECK(idle_since(kRun, {}) == 4 * kSecond);
    CHECK(idle_since({.end_ns = 6 * kSecond, .has_unwritten = true, .last_stop_ns = 4 * kSecond}, {}) == 3 * kSecond);
    CHECK(!idle_since(kRunWithoutWrites, {}));
    CHECK(!idle_since({.end_ns = 10 * kSecond, .has_unwritten = true, .last_stop_ns = {}}, {}));
    BlockEvidence block = block_in_use();
    block.pages->unwritten = block.pages->steady = kPages;
    CHECK(pattern_of(block) == RetentionPattern::idle);
    CHECK(wasted_of(block) == 0); // it may be read
    CHECK(!pattern_of(block, kRunWithoutWrites));
    block.age_ns = 5 * kSecond; // what lay there before held the same
    CHECK(!pattern_of(block));
    block.age_ns = 7 * kSecond;
    block.pages->unwritten = kPages * 8 / 10; // a fifth of it is written
    CHECK(!pattern_of(block));
}

TEST_CASE("the first pattern that fits is given, and the others beside it")
{
    BlockEvidence block = block_in_use();
    block.uses = BlockUses{.pointers_inside = 1, .window = OffsetRange{100 * kPage, 101 * kPage}};
    block.pages->touched = block.pages->unwritten = block.pages->steady = 100;
    const auto retention = judge_retention(block, kRun, {});
    REQUIRE(retention);
    CHECK(retention->pattern == RetentionPattern::pinned);
    CHECK(retention->also[static_cast<size_t>(RetentionPattern::slack)]);
    CHECK(!retention->also[static_cast<size_t>(RetentionPattern::outgrown)]);
}

TEST_CASE("survivor: nearly all others of its stack, of its size, were released, and had lived shorter")
{
    BlockEvidence block = block_in_use();
    block.siblings = {.allocations = 100,
                      .releases = 99,
                      .released_bytes = 99 * kBytes,
                      .live_blocks = 1,
                      .live_bytes = kBytes,
                      .long_lifetime_ns = kSecond};
    CHECK(is_survivor(block, {}));
    const auto otherwise = [&](auto change) {
        BlockEvidence other = block;
        change(other);
        return is_survivor(other, {});
    };
    // The current one of many is as young as the others were.
    CHECK(!otherwise([](BlockEvidence& other) { other.age_ns = kSecond / 2; }));
    CHECK(!otherwise([](BlockEvidence& other) { other.siblings.releases = 90; }));
    CHECK(!otherwise([](BlockEvidence& other) { other.siblings.allocations = 19; }));
    // It was moved by realloc(): the others were itself.
    CHECK(!otherwise([](BlockEvidence& other) { other.is_reallocated = true; }));
    CHECK(!otherwise([](BlockEvidence& other) { other.siblings.released_bytes *= 5; }));
    // It grew by being copied.
    CHECK(!otherwise([](BlockEvidence& other) { other.siblings.released_bytes /= 50; }));
}

TEST_CASE("without a snapshot: what grew by steps and then no more, in a run whose load stopped")
{
    BlockEvidence block = block_in_use();
    block.pages.reset();
    block.uses.reset();
    block.is_reallocated = true;
    block.siblings = {
        .allocations = 6, .releases = 5, .released_bytes = kBytes, .live_blocks = 1, .live_bytes = kBytes};
    block.resting_ns = 8 * kSecond;
    CHECK(pattern_of(block, kRunWithoutWrites) == RetentionPattern::outgrown);
    CHECK(wasted_of(block, kRunWithoutWrites) == 0); // not known
    block.resting_ns = 3 * kSecond;
    CHECK(!pattern_of(block, kRunWithoutWrites));
}
