// How text reports look: what the user asked for on the command line.
//
// Plain data.
#pragma once

#include "analyzer/render/paint.hpp"
#include "analyzer/render/stack_text.hpp"
#include "analyzer/replay/trace_model.hpp"

#include <cstddef>

namespace leak::analyzer {

struct TextStyle {
    Paint paint;
    bool full = false; // every frame, whole names and paths
    bool all = false;  // diff: unchanged sites too
    size_t top = 10;   // sites shown of each table
};

[[nodiscard]] inline StackStyle stack_style(const TextStyle& style, const TraceInfo& info)
{
    return {.paint = style.paint, .full = style.full, .exe = info.exe, .working_directory = info.working_directory};
}

} // namespace leak::analyzer
