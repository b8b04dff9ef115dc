// What was live at a moment of the run: by stack, from the accounts' histories, so of any moment, whatever the ring has
// folded, and as finely as ticks are.
//
// One thread.
#pragma once

#include "analyzer/replay/histories.hpp"
#include "analyzer/replay/replay.hpp"

#include <cstdint>
#include <vector>

namespace leak::analyzer {

// Heap blocks, those of each stack as one entry without addresses and threads.
[[nodiscard]] std::vector<LiveBlock> blocks_at(const ReplayResult& trace, const Histories& histories, int64_t at_ns);

} // namespace leak::analyzer
