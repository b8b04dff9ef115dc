// A set of thread indexes, as runs of neighbours: threads that are in it come and go in about the order of their
// indexes, so it has as many runs as there are threads between them that are not in it.
//
// One thread. 8 bytes a run.
#pragma once

#include "preload/mapped_array.hpp"

#include <cstdint>

namespace leak::preload {

class ThreadRuns {
public:
    struct Run {
        uint32_t first;
        uint32_t end; // the index behind its last
    };

    [[nodiscard]] bool has(uint32_t thread) const noexcept;

    // Adds indexes that are not in it, in any order. The array is sorted. What it was stays if there is no memory.
    void add(MappedArray<uint32_t>& threads) noexcept;

    // By index; there is a gap between any two.
    [[nodiscard]] const MappedArray<Run>& runs() const noexcept { return runs_; }
    [[nodiscard]] bool out_of_memory() const noexcept { return runs_.out_of_memory(); }

private:
    MappedArray<Run> runs_;
};

} // namespace leak::preload
