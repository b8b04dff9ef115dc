// What a forked process got from its parent: the blocks that were live at the moment of the fork.
//
// One thread. Memory: the parent's live blocks and stacks while it is replayed.
#pragma once

#include "analyzer/decode/trace_file.hpp"
#include "analyzer/replay/stack_table.hpp"

#include <optional>
#include <vector>

namespace leak::analyzer {

// The blocks and mappings the process of `child` was born with, with times on the child's clock (they are negative) and
// stacks in `stacks`. Adds to `modules` those of the parent that the child's trace does not name. Looks for the
// parent's trace where the child's names it, then beside the child's; nothing when it is not found or can't be read.
// The thread of such a block is the parent's and means nothing in the child.
[[nodiscard]] std::optional<std::vector<LiveBlock>> inherited_blocks(const TraceContents& child, StackTable& stacks,
                                                                     std::vector<Module>& modules);

} // namespace leak::analyzer
