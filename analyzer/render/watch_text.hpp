// A frame of `leakan watch` as lines of text.
//
// Pure functions, any thread.
#pragma once

#include "analyzer/render/paint.hpp"
#include "analyzer/report/watch_view.hpp"

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace leak::analyzer {

struct WatchStyle {
    Paint paint;
    size_t width = 0;  // columns; 0: lines are as long as they are
    size_t height = 0; // lines; 0: as many as it takes
    bool keys = false; // say which there are
};

// At most `height` lines, each at most `width` columns wide. What the traced program named with control characters is
// shown without them.
[[nodiscard]] std::vector<std::string> watch_lines(const WatchView& view, const WatchStyle& style);

// As many stacks as a frame of that height has room for, at most 10 where it has no bound.
[[nodiscard]] size_t watch_stacks(size_t height);

// The first `width` columns of UTF-8 text; colors take none, and are switched off where the text is cut.
[[nodiscard]] std::string cut_to_width(std::string_view text, size_t width);

} // namespace leak::analyzer
