// What changed between two traces: their unfreed blocks, matched by symbolised stack.
//
// One thread. Two builds and two address layouts compare: addresses, offsets, build-ids and directories play no part.
#pragma once

#include "analyzer/report/leak_report.hpp"

#include <string_view>
#include <vector>

namespace leak::analyzer {

enum class SiteStatus : uint8_t { added, gone, grown, shrunk, same };

[[nodiscard]] std::string_view name_of(SiteStatus status); // "new", "gone", "grown", "shrunk", "same"

struct DiffSite {
    SiteStatus status = SiteStatus::same;
    std::string label; // as Site::label
    uint64_t blocks_before = 0;
    uint64_t blocks_after = 0;
    uint64_t bytes_before = 0;
    uint64_t bytes_after = 0;
    std::vector<Frame> frames; // of the later trace where it has the site

    [[nodiscard]] int64_t bytes_change() const
    {
        return static_cast<int64_t>(bytes_after) - static_cast<int64_t>(bytes_before);
    }
    [[nodiscard]] int64_t blocks_change() const
    {
        return static_cast<int64_t>(blocks_after) - static_cast<int64_t>(blocks_before);
    }
};

struct LeakDiff {
    LeakReport before;
    LeakReport after;
    std::vector<DiffSite> sites; // largest change first, unchanged ones last; min_bytes is a bound of the change
};

// Compares two reports made without min_bytes.
[[nodiscard]] LeakDiff make_leak_diff(LeakReport before, LeakReport after, const SiteOptions& options);

} // namespace leak::analyzer
