// Replays the trace of a running process as it grows: a refresh applies the events that are new since the one before.
//
//   events applied after a refresh = all those with a stamp before the refresh began whose hooks had returned
//
// An event whose hook was on its way then is applied later, by the next refresh: nothing that was applied depends on
// it, since its call has not returned (ARCHITECTURE.md, "The ring"). Where the process has folded events that were not
// applied yet, the replay starts over with the carried state.
//
// One thread. Memory: that of a replay, and what reopen.hpp remembers.
#pragma once

#include "analyzer/decode/reopen.hpp"
#include "analyzer/replay/replay.hpp"
#include "analyzer/replay/replayer.hpp"

#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <vector>

namespace leak::analyzer {

class LiveReplay {
public:
    // on_progress: told the share done of a replay from the start; may be empty. Throws UserError when `path` can't be
    // used at all, now or later.
    explicit LiveReplay(const std::filesystem::path& path, std::function<void(double)> on_progress = {});

    // Applies what is new. False when the process had ended before: then this was all.
    [[nodiscard]] bool refresh();

    // As replay_trace() would have it at the last refresh. Costs a pass over the live blocks.
    [[nodiscard]] const ReplayResult& result();

    // Now. Cheap, and no refresh.
    [[nodiscard]] bool process_runs() const;

    // What is known of the last refresh without a pass over the blocks. Of info(), the duration is missing.
    [[nodiscard]] const TraceInfo& info() const { return result_.info; }
    [[nodiscard]] const Replayer& replayer() const { return *replayer_; }
    [[nodiscard]] int64_t end_ns() const; // of the last event
    [[nodiscard]] const StackTable& stacks() const { return result_.stacks; }
    [[nodiscard]] const std::vector<Module>& modules() const { return result_.modules; }
    [[nodiscard]] uint64_t times_started_over() const { return starts_ - 1; }
    // Changes when stacks() was emptied: StackIds from before mean nothing.
    [[nodiscard]] uint64_t stacks_version() const { return stacks_version_; }

private:
    void start_over();
    [[nodiscard]] bool go_on();
    void inherit();
    void take_positions();
    void take_streams();
    void begin_stream(uint32_t& number, const StreamKey& key);
    void forget_streams();
    void apply_events(bool from_start);
    void close_finished_buffers();
    void take_modules();
    void take_threads();
    void take_info();
    [[nodiscard]] int64_t to_ns(int64_t ticks) const;

    FileReader file_;
    std::function<void(double)> on_progress_;
    std::optional<TraceContents> trace_; // as it was at the last refresh
    std::optional<Replayer> replayer_;
    ReadSoFar read_;
    StampConverter clock_;                   // the trace's own; trace_->clock counts ticks
    std::map<StreamKey, uint32_t> numbers_;  // of the replayer's streams: they stay, the trace's change
    std::vector<uint32_t> free_numbers_;     // of streams that were forgotten
    std::vector<uint32_t> number_of_stream_; // by the trace's streams
    std::vector<StreamPosition*> positions_; // in read_, by the replayer's streams
    ReplayResult result_;                    // the stacks are those of all refreshes
    DamageLog damage_;
    size_t own_modules_ = 0; // ids that are kept for the process's own; behind them its parent's
    uint64_t starts_ = 0;
    uint64_t stacks_version_ = 0;
    bool was_replaced_ = false;
    bool is_over_ = false;
    bool has_last_result_ = false;
};

} // namespace leak::analyzer
