// What one frame of `leakan watch` shows, as plain data for its renderer, and how it is found.
//
// One thread. Memory: what is live by stack; names of the stacks that were ever shown.
#pragma once

#include "analyzer/analysis/growth_window.hpp"
#include "analyzer/replay/live_replay.hpp"
#include "analyzer/symbolize/symbolizer.hpp"

#include <cstdint>
#include <optional>
#include <unordered_map>
#include <vector>

namespace leak::analyzer {

enum class WatchSort : uint8_t { growth, bytes, blocks };

struct WatchStack {
    uint64_t bytes = 0; // live
    uint64_t blocks = 0;
    int64_t growth = 0;           // bytes, over the window
    double growth_per_second = 0; // bytes, of late
    std::vector<Frame> frames;    // innermost first
};

// Since the view before; in the first one since the start.
struct WatchRates {
    int64_t over_ns = 0;
    uint64_t allocations = 0;
    uint64_t releases = 0;
    uint64_t allocated_bytes = 0;
};

struct WatchView {
    TraceInfo info; // duration_ns: how long the process runs, or ran
    uint64_t live_bytes = 0;
    uint64_t live_blocks = 0;
    uint64_t peak_bytes = 0;
    WatchRates rates;
    bool is_first = false;
    int64_t window_ns = 0; // that growth is over
    WatchSort sort = WatchSort::growth;
    size_t stacks = 0; // with live blocks
    std::vector<WatchStack> top;
};

class Watcher {
public:
    // `live` must outlive it. window_ns: see GrowthWindow.
    Watcher(const LiveReplay& live, std::optional<int64_t> window_ns);

    // After a refresh that was begun at `now_ns` (of any steady clock), `run_ns` behind the start of the trace.
    void look(int64_t now_ns, int64_t run_ns);

    // What was seen then, with the first `most` stacks.
    [[nodiscard]] WatchView view(WatchSort sort, size_t most);

private:
    [[nodiscard]] const std::vector<Frame>& frames_of(StackId stack);
    void take_amounts();

    const LiveReplay& live_;
    std::vector<LiveAmount> amounts_; // by the value of the StackId
    GrowthWindow window_;
    GrowthWindow recent_;
    Symbolizer symbolizer_;
    std::unordered_map<StackId, std::vector<Frame>> names_;
    WatchView seen_;    // without stacks
    WatchRates before_; // counts since the start
    int64_t looked_ns_ = 0;
    uint64_t stacks_version_ = 0;
};

} // namespace leak::analyzer
