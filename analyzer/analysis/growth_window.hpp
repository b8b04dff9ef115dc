// How much the live bytes of each stack grew over the last while, seen at the moments somebody looked.
//
// One thread. Memory: at most 33 pictures of 8 bytes a node of the stack table; without a window, one.
#pragma once

#include "analyzer/ids.hpp"

#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

namespace leak::analyzer {

// What of the heap is live.
struct LiveAmount {
    uint64_t bytes = 0;
    uint64_t blocks = 0;
};

class GrowthWindow {
public:
    // Without a window: since the first look.
    explicit GrowthWindow(std::optional<int64_t> window_ns = std::nullopt) : window_ns_(window_ns) {}

    // amounts: by the value of the StackId. Times don't decrease.
    void look(int64_t at_ns, const std::vector<LiveAmount>& amounts);

    // Of what `stack` has now, `bytes`, how much it had not when the window begins. The window begins at the last look
    // that is as old as it, or, until there is one, at the first.
    [[nodiscard]] int64_t growth(StackId stack, uint64_t bytes) const;

    // From the beginning of the window to the last look.
    [[nodiscard]] int64_t span_ns() const { return pictures_.empty() ? 0 : now_ns_ - pictures_.front().at_ns; }

    void clear() { pictures_.clear(); }

private:
    struct Picture {
        int64_t at_ns = 0;
        std::vector<uint64_t> bytes;
    };
    static constexpr int64_t kPictures = 32; // a window

    std::optional<int64_t> window_ns_;
    std::deque<Picture> pictures_; // oldest first
    int64_t now_ns_ = 0;
};

} // namespace leak::analyzer
