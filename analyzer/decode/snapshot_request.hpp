// Has a running process take a snapshot of its memory, from outside (FORMAT.md, section 3: snapshots wanted).
//
// One thread; any number of processes at once.
#pragma once

#include "analyzer/decode/snapshot.hpp"

#include <chrono>
#include <filesystem>

namespace leak::analyzer {

// The reference of the snapshot that holds from then on. Throws UserError where the trace's process can't be seen to
// run here, the trace is of an older version or can't be written, and where no snapshot came of it: then the message
// says why, and the one before still holds.
[[nodiscard]] format::StateRef request_snapshot(const std::filesystem::path& trace, std::chrono::seconds patience);

} // namespace leak::analyzer
