// Free space that the allocator can't give back because live blocks lie in between, and whose blocks they are.
//
// One thread. A replay of its own, as the moments to look at follow from the first one. Memory: the live blocks.
#pragma once

#include "analyzer/report/growth.hpp"

namespace leak::analyzer {

// Whether the allocator, as glibc's, keeps so much free that a reader wants to know where.
[[nodiscard]] bool may_be_fragmented(const GrowthReport& report);

// Fills report.fragmentation, and says in report.process.cause if that is what keeps the process large. Nothing for a
// sampled trace, which doesn't know all addresses. Throws UserError when the trace can't be read again.
void add_fragmentation(GrowthReport& report);

} // namespace leak::analyzer
