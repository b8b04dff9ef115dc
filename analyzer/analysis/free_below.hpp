// Free memory of the heap that a block keeps in place: it lies right below the block, and a heap that shrinks from its
// end (glibc's) can't shrink past the block.
//
// Pure functions, any thread. Memory: 16 bytes a block.
#pragma once

#include "analyzer/replay/replay.hpp"

#include <cstdint>
#include <functional>
#include <span>

namespace leak::analyzer {

// Calls visit(index, bytes) for each of `blocks` that is_wanted(index), with the bytes of whole pages that are free
// below it down to the next block, by address. memory: only pages in use count; null: it is not known which are.
// program_end: the address behind the program's own module, which glibc's main heap follows.
void for_free_below(std::span<const LiveBlock> blocks, const MemoryView* memory, uint64_t program_end,
                    const std::function<bool(size_t)>& is_wanted, const std::function<void(size_t, uint64_t)>& visit);

} // namespace leak::analyzer
