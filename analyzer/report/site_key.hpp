// When two symbolised stacks are one to a reader.
//
// Pure functions, any thread.
#pragma once

#include "analyzer/symbolize/symbolizer.hpp"

#include <string>
#include <vector>

namespace leak::analyzer {

// The same for stacks that read the same.
[[nodiscard]] inline std::string site_key(const std::vector<Frame>& frames)
{
    std::string key;
    for (const Frame& frame : frames) {
        key += frame.module;
        key += '\0';
        // The offset tells frames apart that have no name; two calls on one line are one place to a reader.
        key += frame.function.empty() ? std::to_string(frame.offset) : frame.function;
        key += '\0';
        key += frame.file;
        key += ':';
        key += std::to_string(frame.line);
        key += frame.inlined ? "i\n" : "\n";
    }
    return key;
}

} // namespace leak::analyzer
