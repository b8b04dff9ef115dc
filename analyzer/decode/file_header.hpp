// Decides whether a file is a trace this version can read.
//
// One thread.
#pragma once

#include "analyzer/decode/file_reader.hpp"
#include "format/layout.hpp"

namespace leak::analyzer {

// The file header of slot 0. Throws UserError for an empty or foreign file, a header that is not sound, and a major
// version this code does not know.
[[nodiscard]] format::FileHeader read_file_header(const FileReader& file);

} // namespace leak::analyzer
