// Histories of stacks and of groups of stacks, as curves.
//
// One thread.
#pragma once

#include "analyzer/replay/stack_accounts.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace leak::analyzer {

// How it stood at a moment: the last sample up to it; all zero before the first.
[[nodiscard]] HistorySample state_at(std::span<const HistorySample> curve, int64_t at_ns);

// Finds the points of one account among those of all. Memory: 48 bytes a point.
class Histories {
public:
    // `accounts` must outlive it. A tick ends later than the last event in it, but not later than the run, at end_ns.
    explicit Histories(const StackAccounts& accounts, int64_t end_ns = INT64_MAX);

    // Of some accounts, added up: one sample for each tick in which something changed.
    [[nodiscard]] Curve of(std::span<const uint32_t> accounts) const;

private:
    const StackAccounts& accounts_;
    int64_t end_ns_;
    std::vector<format::HistoryPoint> points_; // by account, of one in order of time
    std::vector<size_t> begin_;                // of an account's
};

} // namespace leak::analyzer
