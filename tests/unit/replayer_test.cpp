#include "format/families.hpp"
#include "tests/unit/replay_helpers.hpp"

#include <doctest/doctest.h>

#include <vector>

using namespace leak::analyzer;
using namespace leak::test;
using enum leak::format::EventKind;

namespace {

constexpr uint64_t kPage = 4096;

// A trace of one thread, or several; each event is 10 ns after the one before.
struct Script {
    TraceBuilder trace;
    uint64_t stamp = 0;

    Script& add(leak::format::EventKind kind, uint64_t address, uint64_t size = 0, uint32_t thread = 0)
    {
        trace.event(thread, {.kind = kind, .stamp = stamp += 10, .address = address, .size = size});
        return *this;
    }
    ReplayResult run(const ReplayOptions& options = {}) { return replay(trace, options); }
};

} // namespace

TEST_CASE("what is not freed is left, with its size, time, stack and thread")
{
    Script script;
    const uint32_t outer = script.trace.pc(0x401000, 1);
    const uint32_t inner = script.trace.pc(0x402000, 1);
    script.trace.module({.index = 1, .path = "/bin/app", .start = 0x400000, .end = 0x500000});
    script.trace.thread(0, 100, "main");
    script.trace.thread(1, 101, "worker");
    script.add(malloc_, 0x1000, 10);
    script.trace.event(1, {.kind = new_array,
                           .stamp = 15,
                           .address = 0x2000,
                           .size = 20,
                           .stack = {outer, inner},
                           .extra = 6,
                           .truncated = true});
    script.add(free_, 0x1000);
    const ReplayResult result = script.run();
    REQUIRE(result.unfreed.size() == 1);
    const LiveBlock& block = result.unfreed[0];
    CHECK(block.address == 0x2000);
    CHECK(block.bytes == 20);
    CHECK(block.allocated_ns == 15);
    CHECK(block.thread == ThreadId{1});
    CHECK(block.kind == new_array);
    CHECK(block.alignment_log2 == 6);
    CHECK(block.truncated_stack);
    CHECK_FALSE(block.inherited);
    const std::vector<Pc> frames = result.stacks.frames(block.stack);
    REQUIRE(frames.size() == 2);
    CHECK(frames[0] == Pc{0x402000, ModuleId{1}});
    CHECK(frames[1] == Pc{0x401000, ModuleId{1}});
    CHECK(result.threads[1].name == "worker");
    CHECK(result.totals.allocations == 2);
    CHECK(result.totals.releases == 1);
    CHECK(result.totals.allocated_bytes == 30);
    CHECK(result.totals.unmatched_releases == 0);
    CHECK(result.totals.threads == 2);
    CHECK(result.totals.stacks == 2);
    CHECK(result.totals.events_by_kind[static_cast<size_t>(malloc_)] == 1);
}

TEST_CASE("the peak is the most that was live, and when")
{
    Script script;
    script.add(malloc_, 0x1000, 100).add(malloc_, 0x2000, 50).add(free_, 0x1000).add(malloc_, 0x3000, 60);
    const ReplayResult result = script.run();
    CHECK(result.totals.peak_bytes == 150);
    CHECK(result.totals.peak_ns == 20);
}

TEST_CASE("unfreed blocks come in the order of their allocation")
{
    Script script;
    script.add(malloc_, 0x9000, 1).add(malloc_, 0x1000, 2).add(malloc_, 0x5000, 3);
    const ReplayResult result = script.run();
    REQUIRE(result.unfreed.size() == 3);
    CHECK(result.unfreed[0].bytes == 1);
    CHECK(result.unfreed[1].bytes == 2);
    CHECK(result.unfreed[2].bytes == 3);
}

TEST_CASE("a block that another thread frees and reuses at once is matched")
{
    Script script;
    script.add(malloc_, 0x1000, 8, 0).add(free_, 0x1000, 0, 1).add(malloc_, 0x1000, 9, 2).add(free_, 0x1000, 0, 0);
    const ReplayResult result = script.run();
    CHECK(result.unfreed.empty());
    CHECK(result.totals.unmatched_releases == 0);
    CHECK(result.totals.replaced_blocks == 0);
}

TEST_CASE("a release of an unknown address is counted")
{
    const ReplayResult result = Script().add(free_, 0x1000).add(realloc_release, 0x2000).add(realloc_, 0x3000, 1).run();
    CHECK(result.totals.unmatched_releases == 2);
    CHECK(result.totals.releases == 2);
    CHECK(result.unfreed.size() == 1);
}

TEST_CASE("a block allocated again without a release replaces the old one")
{
    const ReplayResult result = Script().add(malloc_, 0x1000, 10).add(malloc_, 0x1000, 20).run();
    CHECK(result.totals.replaced_blocks == 1);
    CHECK(result.totals.peak_bytes == 20);
    REQUIRE(result.unfreed.size() == 1);
    CHECK(result.unfreed[0].bytes == 20);
}

TEST_CASE("a realloc is a release and an allocation")
{
    const ReplayResult result =
        Script().add(malloc_, 0x1000, 10).add(realloc_release, 0x1000).add(realloc_, 0x1000, 30).run();
    CHECK(result.totals.allocations == 2);
    CHECK(result.totals.releases == 1);
    CHECK(result.totals.peak_bytes == 30);
    REQUIRE(result.unfreed.size() == 1);
    CHECK(result.unfreed[0].kind == realloc_);
}

TEST_CASE("a realloc that failed has released nothing")
{
    const ReplayResult result =
        Script().add(malloc_, 0x1000, 10).add(realloc_release, 0x1000).add(realloc_undo, 0x1000).run();
    CHECK(result.totals.releases == 0);
    REQUIRE(result.unfreed.size() == 1);
    CHECK(result.unfreed[0].kind == malloc_);
    CHECK(result.unfreed[0].allocated_ns == 10);
    CHECK(result.totals.peak_bytes == 10);
}

TEST_CASE("an undo finds its release though a signal handler used the heap in between")
{
    const ReplayResult result = Script()
                                    .add(malloc_, 0x1000, 10)
                                    .add(realloc_release, 0x1000)
                                    .add(malloc_, 0x2000, 5)
                                    .add(realloc_release, 0x2000)
                                    .add(realloc_, 0x3000, 6)
                                    .add(free_, 0x3000)
                                    .add(realloc_undo, 0x1000)
                                    .run();
    REQUIRE(result.unfreed.size() == 1);
    CHECK(result.unfreed[0].address == 0x1000);
}

TEST_CASE("the undo of an unknown release leaves no trace")
{
    const ReplayResult result = Script().add(realloc_release, 0x1000).add(realloc_undo, 0x1000).run();
    CHECK(result.totals.unmatched_releases == 0);
    CHECK(result.totals.releases == 0);
    CHECK(result.unfreed.empty());
}

TEST_CASE("a realloc that had not returned at the end has released nothing")
{
    const ReplayResult result =
        Script().add(malloc_, 0x1000, 10).add(realloc_release, 0x1000).add(malloc_, 0x2000, 1, 1).run();
    CHECK(result.unfreed.size() == 2);
    CHECK(result.totals.releases == 0);
}

TEST_CASE("a realloc under way at the end whose block was given to another thread had released it")
{
    const ReplayResult result =
        Script().add(malloc_, 0x1000, 10).add(realloc_release, 0x1000).add(malloc_, 0x1000, 7, 1).run();
    REQUIRE(result.unfreed.size() == 1);
    CHECK(result.unfreed[0].bytes == 7);
    CHECK(result.totals.releases == 1);
}

TEST_CASE("a block is live all the while a realloc moves it, in the history")
{
    Script script;
    const auto in_a_tick_of_its_own = [&](leak::format::EventKind kind, uint64_t address, uint64_t size) {
        script.stamp += 1 << 22;
        script.add(kind, address, size);
    };
    in_a_tick_of_its_own(malloc_, 0x1000, 100);
    in_a_tick_of_its_own(realloc_release, 0x1000, 0);
    in_a_tick_of_its_own(realloc_, 0x2000, 200);
    in_a_tick_of_its_own(realloc_release, 0x2000, 0);
    in_a_tick_of_its_own(realloc_undo, 0x2000, 0);
    in_a_tick_of_its_own(free_, 0x2000, 0);
    in_a_tick_of_its_own(malloc_, 0x3000, 50);
    in_a_tick_of_its_own(realloc_release, 0x3000, 0); // does not return
    const ReplayResult result = script.run();
    std::vector<uint64_t> bytes, blocks;
    for (const HistorySample& sample : result.accounts.history(StackAccounts::Table::kHeap)) {
        bytes.push_back(sample.live_bytes);
        blocks.push_back(sample.live_blocks);
    }
    CHECK(bytes == std::vector<uint64_t>{100, 100, 200, 200, 200, 0, 50, 50});
    CHECK(blocks == std::vector<uint64_t>{1, 1, 1, 1, 1, 0, 1, 1});
}

TEST_CASE("a mismatch that was undone is none")
{
    const ReplayResult result =
        Script().add(new_, 0x1000, 10).add(realloc_release, 0x1000).add(realloc_undo, 0x1000).run();
    CHECK(result.totals.mismatches == 0);
    CHECK(result.mismatches.empty());
}

TEST_CASE("every allocation may be released by its own family alone")
{
    const std::vector<leak::format::EventKind> releases = {free_,
                                                           delete_,
                                                           delete_array,
                                                           delete_aligned,
                                                           delete_array_aligned,
                                                           free_sized_,
                                                           free_aligned_sized_,
                                                           realloc_release,
                                                           custom_free};
    const auto allowed = [&](leak::format::EventKind allocated) {
        std::vector<leak::format::EventKind> result;
        for (const auto released : releases)
            if (leak::format::same_family(allocated, released)) result.push_back(released);
        return result;
    };
    using Kinds = std::vector<leak::format::EventKind>;
    for (const auto plain : {malloc_, calloc_, realloc_, reallocarray_})
        CHECK(allowed(plain) == Kinds{free_, free_sized_, realloc_release});
    for (const auto aligned : {posix_memalign_, aligned_alloc_, memalign_, valloc_, pvalloc_})
        CHECK(allowed(aligned) == Kinds{free_, free_sized_, free_aligned_sized_, realloc_release});
    CHECK(allowed(new_) == Kinds{delete_});
    CHECK(allowed(new_array) == Kinds{delete_array});
    CHECK(allowed(new_aligned) == Kinds{delete_aligned});
    CHECK(allowed(new_array_aligned) == Kinds{delete_array_aligned});
    CHECK(allowed(custom_alloc) == Kinds{custom_free});
}

TEST_CASE("mismatches are counted by stack and kinds, and the blocks are gone")
{
    Script script;
    for (uint64_t i = 0; i < 3; ++i) script.add(new_, 0x1000 + i * 64, 10);
    for (uint64_t i = 0; i < 3; ++i) script.add(i == 0 ? delete_array : free_, 0x1000 + i * 64);
    const ReplayResult result = script.run();
    CHECK(result.unfreed.empty());
    CHECK(result.totals.mismatches == 3);
    REQUIRE(result.mismatches.size() == 2);
    CHECK(result.mismatches[0].released_by == free_);
    CHECK(result.mismatches[0].blocks == 2);
    CHECK(result.mismatches[0].bytes == 20);
    CHECK(result.mismatches[1].released_by == delete_array);
}

TEST_CASE("temporary is what the same thread frees before its next allocation")
{
    CHECK(Script().add(malloc_, 1 << 12, 1).add(free_, 1 << 12).run().totals.temporary_allocations == 1);
    // an allocation in between
    CHECK(Script()
              .add(malloc_, 1 << 12, 1)
              .add(malloc_, 2 << 12, 1)
              .add(free_, 1 << 12)
              .add(free_, 2 << 12)
              .run()
              .totals.temporary_allocations == 1);
    // an allocation of another thread does not count
    CHECK(Script()
              .add(malloc_, 1 << 12, 1, 0)
              .add(malloc_, 2 << 12, 1, 1)
              .add(free_, 1 << 12, 0, 0)
              .run()
              .totals.temporary_allocations == 1);
    // freed by another thread
    CHECK(Script().add(malloc_, 1 << 12, 1, 0).add(free_, 1 << 12, 0, 1).run().totals.temporary_allocations == 0);
    // moved by realloc: lives on
    CHECK(Script()
              .add(malloc_, 1 << 12, 1)
              .add(realloc_release, 1 << 12)
              .add(realloc_, 2 << 12, 1)
              .run()
              .totals.temporary_allocations == 0);
}

TEST_CASE("leak_alloc blocks have an address space of their own")
{
    Script script;
    script.add(malloc_, 0x1000, 1000).add(custom_alloc, 0x1000, 16).add(custom_free, 0x1000).add(free_, 0x1000);
    const ReplayResult result = script.run();
    CHECK(result.unfreed.empty());
    CHECK(result.totals.replaced_blocks == 0);
    CHECK(result.totals.unmatched_releases == 0);
    CHECK(result.totals.mismatches == 0);
}

TEST_CASE("a leak_alloc block released by free is a mismatch, leak_free of a heap block is unmatched")
{
    const ReplayResult freed = Script().add(custom_alloc, 0x1000, 16).add(free_, 0x1000).run();
    CHECK(freed.totals.mismatches == 1);
    CHECK(freed.unfreed.empty());
    const ReplayResult kept = Script().add(malloc_, 0x1000, 16).add(custom_free, 0x1000).run();
    CHECK(kept.totals.unmatched_releases == 1);
    CHECK(kept.unfreed.size() == 1);
}

TEST_CASE("mappings are kept apart from the heap")
{
    Script script;
    script.add(mmap_, 16 * kPage, 4 * kPage).add(mmap_, 32 * kPage, 2 * kPage).add(munmap_, 17 * kPage, kPage);
    const ReplayResult result = script.run();
    CHECK(result.totals.allocations == 0);
    CHECK(result.totals.peak_bytes == 0);
    CHECK(result.unfreed.empty());
    REQUIRE(result.mapped.size() == 3);
    CHECK(result.totals.mapped_bytes == 5 * kPage);
    CHECK(result.totals.peak_mapped_bytes == 6 * kPage);
    CHECK(result.totals.unmatched_releases == 0);
}

TEST_CASE("a mremap moves a range, and a failed one moves nothing")
{
    Script moved;
    moved.add(mmap_, 16 * kPage, 4 * kPage)
        .add(mremap_release, 16 * kPage, 4 * kPage)
        .add(mremap_, 64 * kPage, 8 * kPage);
    REQUIRE(moved.run().mapped.size() == 1);
    CHECK(moved.run().mapped[0].address == 64 * kPage);
    Script failed;
    failed.add(mmap_, 16 * kPage, 4 * kPage).add(mremap_release, 16 * kPage, 4 * kPage).add(unmap_undo, 16 * kPage);
    REQUIRE(failed.run().mapped.size() == 1);
    CHECK(failed.run().mapped[0].bytes == 4 * kPage);
    CHECK(failed.run().mapped[0].kind == mmap_);
}
