// --core and --core-at: a core dump in place of the trace's snapshot.
//
// Plain data; one thread.
#pragma once

#include "analyzer/replay/replay.hpp"

#include <cstddef>
#include <optional>
#include <string>

namespace CLI {
class App;
class Option;
} // namespace CLI

namespace leak::analyzer {

struct CoreOptions {
    std::string path; // empty: none
    std::string at;   // empty: when the file was last written

    // Throws UserError for a time that is none.
    [[nodiscard]] std::optional<CoreSource> source() const;
    // Throws UserError when a core is given for more than one trace.
    void check(size_t traces) const;
};

// Returns --core.
CLI::Option* add_core_options(CLI::App& command, CoreOptions& options);

} // namespace leak::analyzer
