// Puts a mark into the trace of a running process, from outside (FORMAT.md, section 7): into a journal frame that the
// process leaves alone, so that it neither takes part nor notices.
//
// One thread; any number of processes at once: they take turns by a lock on the file (flock).
#pragma once

#include <filesystem>
#include <string_view>

namespace leak::analyzer {

// The mark's time is this moment. `text`: 1 to format::kMostMarkBytes bytes. Throws UserError, and leaves the file as
// it is, for any other text and where the trace can't be marked: it has no room for marks (any more), it can't be
// written, it is damaged, or its process can't be seen to run here.
void write_mark(const std::filesystem::path& trace, std::string_view text);

} // namespace leak::analyzer
