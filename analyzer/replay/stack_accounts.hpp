// Totals, lifetimes and history of every stack that an event had, and of the whole process, since the start.
//
// One thread. Memory: format/stack_accounts.hpp; the history is bounded.
#pragma once

#include "analyzer/decode/stamp_clock.hpp"
#include "analyzer/ids.hpp"
#include "format/sampling.hpp"
#include "format/stack_accounts.hpp"

#include <cstdint>
#include <vector>

namespace leak::analyzer {

// How things stood at a moment, and since the moment before it.
struct HistorySample {
    int64_t at_ns = 0;
    uint64_t live_bytes = 0;
    uint64_t live_blocks = 0;     // of the heap; mapped ranges are not counted
    uint64_t allocated_bytes = 0; // since the start
    uint64_t events = 0;          // allocations and releases since the start
};

// How something went, in order of time: it stands as a sample says until the next one.
using Curve = std::vector<HistorySample>;

// Releases after at least so long, and less than twice as long.
struct LifetimeCount {
    int64_t from_ns = 0;
    uint64_t blocks = 0;
};

class StackAccounts {
public:
    template <typename T> using Vector = std::vector<T>;
    using Table = format::StackAccounts<Vector>;

    StackAccounts() = default;
    StackAccounts(const format::FileHeader& header, const StampConverter& clock, unsigned tick_log2);

    // The account of a stack, opened if need be.
    [[nodiscard]] uint32_t of(StackId stack);
    [[nodiscard]] Table& table() { return table_; }
    [[nodiscard]] const Table& table() const { return table_; }

    [[nodiscard]] size_t stacks() const { return stacks_.size(); }
    // Of the account Table::kFirstStack + i.
    [[nodiscard]] StackId stack(size_t i) const { return stacks_[i]; }

    // With blocks counted whole.
    [[nodiscard]] format::StackTotals totals(uint32_t account) const;
    // One sample for each tick in which something changed; the last one is how it stands.
    [[nodiscard]] Curve history(uint32_t account) const;
    [[nodiscard]] int64_t tick_ns() const;
    [[nodiscard]] HistorySample sample(const format::HistoryPoint& point) const;
    // A better calibrated one: times are kept as stamps.
    void set_clock(const StampConverter& clock) { clock_ = clock; }
    // By increasing time.
    [[nodiscard]] std::vector<LifetimeCount> lifetimes(uint32_t account) const;

private:
    Table table_;
    StampConverter clock_;
    uint64_t origin_ = 0;
    uint64_t sample_bytes_ = 0;        // the table counts blocks as weigh() does
    std::vector<StackId> stacks_;      // by account - kFirstStack
    std::vector<uint32_t> account_of_; // by StackId; 0: none yet
};

} // namespace leak::analyzer
