// For commands that act on the trace of a running process. One thread.
#pragma once

#include "analyzer/decode/file_reader.hpp"
#include "format/layout.hpp"

#include <string>

namespace leak::analyzer {

// Throws UserError, which begins with `what` ("the trace can't be marked"), where the process of the trace can't be
// seen to run on this machine.
void check_running_here(const FileReader& file, const format::FileHeader& header, const std::string& what);

} // namespace leak::analyzer
