// Which part of a stretch of memory was ever touched, and written of late, as a snapshot found its pages.
//
// Pure functions, any thread. A question takes two binary searches.
#pragma once

#include "analyzer/replay/replay.hpp"

#include <cstdint>

namespace leak::analyzer {

// Of the pages that lie in it as a whole.
struct PageUse {
    uint64_t pages = 0;
    uint64_t touched = 0;     // of them: in memory or swapped out
    uint64_t unknown = 0;     // of them: it is not known whether they were touched
    uint64_t unwritten = 0;   // touched, and not written since the moment asked for
    uint64_t steady = 0;      // touched, and not written since some moment
    uint64_t touched_end = 0; // the address behind the last one that was touched; 0: none was
    int64_t unwritten_ns = 0; // the latest moment since which those of `unwritten` hold the same
    friend bool operator==(const PageUse&, const PageUse&) = default;

    [[nodiscard]] uint64_t untouched() const { return pages - touched - unknown; }
};

// Of addresses outside the memory that can be known (FORMAT.md, section 10: anonymous) nothing is counted.
// since_ns: pages that were written later count as written.
[[nodiscard]] PageUse page_use(const MemoryView& memory, AddressRange range, int64_t since_ns = INT64_MAX);

} // namespace leak::analyzer
