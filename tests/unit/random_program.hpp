// Random events of a program, and whether two replays of them say the same. Test code.
#pragma once

#include "tests/unit/replay_helpers.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <random>
#include <tuple>
#include <utility>
#include <vector>

namespace leak::test {

using analyzer::ReplayResult;

// A program that does what it likes with few addresses, right or wrong: releases of what is not there, blocks at
// addresses that were not released, reallocs that fail, ranges that overlap.
class Program {
    static constexpr uint32_t kThreads = 3;
    static constexpr uint64_t kPage = 4096;

public:
    explicit Program(unsigned seed) : random_(seed) {}

    [[nodiscard]] std::pair<uint32_t, TestEvent> next()
    {
        using enum format::EventKind;
        const auto thread = static_cast<uint32_t>(below(kThreads));
        TestEvent event;
        event.stamp = stamp_ += (1 + below(50)) << 16;
        event.kind = kind(thread);
        const bool is_range = is_mapping(event.kind) || is_unmapping(event.kind) || event.kind == unmap_undo;
        event.address = is_range ? 0x7f0000000000 + below(40) * kPage : 0x10000 + below(60) * 16;
        if (event.kind == realloc_undo || event.kind == unmap_undo) event.address = last_[thread].address;
        if (has_size(event.kind))
            event.size = is_range ? (1 + below(6)) * kPage : below(8) == 0 ? below(1'000'000) : below(500);
        if (has_stack(event.kind)) {
            for (uint64_t depth = below(5); depth > 0; --depth)
                event.stack.push_back(1 + static_cast<uint32_t>(below(6)));
            event.truncated = below(10) == 0;
            event.extra = is_range ? uint8_t{3} : below(5) == 0 ? uint8_t{6} : uint8_t{0};
        }
        last_[thread] = event;
        return {indexes_[thread], event};
    }
    // One of its threads ends, and the next one takes its place. Returns its index.
    [[nodiscard]] uint32_t end_thread()
    {
        const auto thread = static_cast<uint32_t>(below(kThreads));
        last_[thread] = {};
        return std::exchange(indexes_[thread], next_index_++);
    }
    uint64_t below(uint64_t bound) { return random_() % bound; }

private:
    [[nodiscard]] format::EventKind kind(uint32_t thread)
    {
        using enum format::EventKind;
        const format::EventKind last = last_[thread].kind;
        if (last == realloc_release && below(4) == 0) return realloc_undo;
        if (is_unmapping(last) && below(4) == 0) return unmap_undo;
        constexpr format::EventKind kinds[] = {malloc_, malloc_,         new_,    new_array,     custom_alloc, free_,
                                               free_,   realloc_release, delete_, realloc_,      custom_free,  mmap_,
                                               munmap_, mremap_release,  mremap_, aligned_alloc_};
        return kinds[below(std::size(kinds))];
    }

    std::mt19937 random_;
    uint64_t stamp_ = 0;
    TestEvent last_[kThreads];
    uint32_t indexes_[kThreads] = {0, 1, 2};
    uint32_t next_index_ = kThreads;
};

inline void check_same(const std::vector<analyzer::LiveBlock>& folded, const ReplayResult& a,
                       const std::vector<analyzer::LiveBlock>& whole, const ReplayResult& b)
{
    REQUIRE(folded.size() == whole.size());
    for (size_t i = 0; i < whole.size(); ++i) {
        CHECK(folded[i].address == whole[i].address);
        CHECK(folded[i].bytes == whole[i].bytes);
        CHECK(folded[i].allocated_ns == whole[i].allocated_ns);
        CHECK(folded[i].thread == whole[i].thread);
        CHECK(folded[i].kind == whole[i].kind);
        CHECK(folded[i].alignment_log2 == whole[i].alignment_log2);
        CHECK(folded[i].truncated_stack == whole[i].truncated_stack);
        CHECK(a.stacks.frames(folded[i].stack) == b.stacks.frames(whole[i].stack));
    }
}

inline void check_same(const ReplayResult& folded, const ReplayResult& whole)
{
    const analyzer::Totals& a = folded.totals;
    const analyzer::Totals& b = whole.totals;
    CHECK(a.peak_ns == b.peak_ns);
    using Totals = analyzer::Totals;
    for (uint64_t Totals::* total :
         {&Totals::allocations, &Totals::releases, &Totals::allocated_bytes, &Totals::peak_bytes,
          &Totals::temporary_allocations, &Totals::unmatched_releases, &Totals::replaced_blocks, &Totals::mismatches,
          &Totals::mapped_bytes, &Totals::peak_mapped_bytes, &Totals::stacks})
        CHECK(a.*total == b.*total);
    CHECK(std::ranges::equal(a.events_by_kind, b.events_by_kind));
    check_same(folded.unfreed, folded, whole.unfreed, whole);
    check_same(folded.mapped, folded, whole.mapped, whole);
    const auto mismatches = [](const ReplayResult& result) {
        std::vector<std::tuple<uint64_t, uint64_t, format::EventKind, format::EventKind>> all;
        for (const analyzer::Mismatch& one : result.mismatches)
            all.emplace_back(one.bytes, one.blocks, one.allocated_by, one.released_by);
        std::ranges::sort(all);
        return all;
    };
    CHECK(mismatches(folded) == mismatches(whole));
    CHECK(folded.info.gap_events == 0);
    CHECK(folded.info.damage.empty());
}

inline void check_same(const analyzer::HistorySample& a, const analyzer::HistorySample& b)
{
    CHECK(a.at_ns == b.at_ns);
    CHECK(a.live_bytes == b.live_bytes);
    CHECK(a.live_blocks == b.live_blocks);
    CHECK(a.allocated_bytes == b.allocated_bytes);
    CHECK(a.events == b.events);
}

inline void check_same_account(const analyzer::StackAccounts& a, uint32_t one, const analyzer::StackAccounts& b,
                               uint32_t other)
{
    using Totals = format::StackTotals;
    const Totals& x = a.table()[one];
    const Totals& y = b.table()[other];
    for (uint64_t Totals::* number :
         {&Totals::allocations, &Totals::allocated_bytes, &Totals::releases, &Totals::released_bytes,
          &Totals::temporary_allocations, &Totals::peak_bytes, &Totals::live_blocks, &Totals::live_bytes})
        CHECK(x.*number == y.*number);
    const auto lifetimes = a.lifetimes(one);
    const auto expected = b.lifetimes(other);
    REQUIRE(lifetimes.size() == expected.size());
    for (size_t i = 0; i < expected.size(); ++i) {
        CHECK(lifetimes[i].from_ns == expected[i].from_ns);
        CHECK(lifetimes[i].blocks == expected[i].blocks);
    }
    const auto samples = a.history(one);
    const auto wanted = b.history(other);
    REQUIRE(samples.size() == wanted.size());
    for (size_t i = 0; i < wanted.size(); ++i) check_same(samples[i], wanted[i]);
}

// Totals, lifetimes and history of the process and of each stack. The coarser history decides.
inline void check_same_accounts(ReplayResult& folded, ReplayResult& whole)
{
    using Table = analyzer::StackAccounts::Table;
    Table& a = folded.accounts.table();
    Table& b = whole.accounts.table();
    while (a.tick_log2() < b.tick_log2()) a.coarsen();
    while (b.tick_log2() < a.tick_log2()) b.coarsen();
    for (uint32_t account = 0; account < Table::kFirstStack; ++account)
        check_same_account(folded.accounts, account, whole.accounts, account);
    std::map<std::vector<uint64_t>, uint32_t> by_stack;
    const auto pcs = [](const ReplayResult& result, size_t i) {
        std::vector<uint64_t> addresses;
        for (const analyzer::Pc& pc : result.stacks.frames(result.accounts.stack(i))) addresses.push_back(pc.address);
        return addresses;
    };
    for (uint32_t i = 0; i < whole.accounts.stacks(); ++i) by_stack[pcs(whole, i)] = i + Table::kFirstStack;
    REQUIRE(folded.accounts.stacks() == whole.accounts.stacks());
    for (uint32_t i = 0; i < folded.accounts.stacks(); ++i)
        check_same_account(folded.accounts, i + Table::kFirstStack, whole.accounts, by_stack.at(pcs(folded, i)));
}

} // namespace leak::test
