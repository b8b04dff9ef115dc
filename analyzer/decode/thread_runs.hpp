// A set of thread indexes, as runs of neighbours (FORMAT.md, section 8, forgotten threads).
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

namespace leak::analyzer {

class ThreadRuns {
public:
    // Behind all that are in it.
    void add(uint32_t first, uint32_t threads) { runs_.push_back({first, uint64_t{first} + threads}); }

    [[nodiscard]] bool has(uint32_t thread) const
    {
        const auto behind = std::ranges::upper_bound(runs_, thread, {}, &Run::first);
        return behind != runs_.begin() && thread < behind[-1].end;
    }
    // The index behind the last; 0: none.
    [[nodiscard]] uint64_t end() const { return runs_.empty() ? 0 : runs_.back().end; }

private:
    struct Run {
        uint32_t first = 0;
        uint64_t end = 0;
    };
    std::vector<Run> runs_;
};

} // namespace leak::analyzer
