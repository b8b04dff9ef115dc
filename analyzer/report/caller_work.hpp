// What the callers of a site do besides: the measure by which its growth is judged.
//
// A cache that is full and a store that its callers left look the same: neither grows any more. But the callers of the
// cache go on working. The work of a site's callers is what is allocated by, and below, the innermost of its frames
// that also gives back: at least half as many blocks as the site allocated, and a twentieth of what the program does.
//
// One thread. Memory: 24 bytes a node of the stack table.
#pragma once

#include "analyzer/replay/replay.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace leak::analyzer {

class CallerWork {
public:
    explicit CallerWork(const ReplayResult& trace);

    // The node whose work is that of the callers of `accounts`, which are one site's. 0: the whole program.
    [[nodiscard]] StackId caller_of(std::span<const uint32_t> accounts) const;

    // Of what is allocated by and below it.
    [[nodiscard]] std::vector<uint32_t> accounts_below(StackId caller) const;

private:
    struct Counts {
        uint64_t allocations = 0;
        uint64_t releases = 0;
    };

    const ReplayResult& trace_;
    std::vector<Counts> below_; // by node, itself included
};

} // namespace leak::analyzer
