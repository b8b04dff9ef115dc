#include "preload/fold/thread_runs.hpp"

#include <algorithm>

namespace leak::preload {

bool ThreadRuns::has(uint32_t thread) const noexcept
{
    const Run* const behind = std::upper_bound(runs_.begin(), runs_.end(), thread,
                                               [](uint32_t index, const Run& run) { return index < run.first; });
    return behind != runs_.begin() && thread < behind[-1].end;
}

void ThreadRuns::add(MappedArray<uint32_t>& threads) noexcept
{
    std::sort(threads.begin(), threads.end());
    MappedArray<Run> merged;
    const auto append = [&](const Run& run) {
        if (!merged.empty() && merged.back().end == run.first)
            merged.back().end = run.end;
        else
            merged.push_back(run);
    };
    const Run* run = runs_.begin();
    for (const uint32_t thread : threads) {
        for (; run != runs_.end() && run->first < thread; ++run) append(*run);
        append({thread, thread + 1});
    }
    for (; run != runs_.end(); ++run) append(*run);
    if (merged.out_of_memory())
        runs_.set_out_of_memory();
    else
        runs_ = std::move(merged);
}

} // namespace leak::preload
