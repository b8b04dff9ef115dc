#include "analyzer/replay/live_replay.hpp"

#include "analyzer/decode/process_state.hpp"
#include "analyzer/replay/event_merge.hpp"
#include "analyzer/replay/parent_trace.hpp"
#include "analyzer/replay/replay_result.hpp"

#include <algorithm>

namespace leak::analyzer {

namespace {

constexpr uint64_t kProgressEvents = 1 << 16; // between two calls of on_progress
constexpr size_t kSpareModules = 4096;        // that a forked process may load

} // namespace

LiveReplay::LiveReplay(const std::filesystem::path& path, std::function<void(double)> on_progress)
    : file_(path), on_progress_(std::move(on_progress))
{
}

bool LiveReplay::refresh()
{
    if (is_over_) return false;
    if (!replayer_ || !go_on()) start_over();
    // After an exec the process runs, but not this trace. A failed one takes its word back at once.
    const bool is_replaced = trace_->header.end_state == format::EndState::exec;
    is_over_ = !trace_->info.still_running || (is_replaced && was_replaced_);
    was_replaced_ = is_replaced;
    if (is_over_ && !damage_.empty()) start_over(); // what is damaged, counted once
    take_info();
    if (is_over_) replayer_->finish();
    return !is_over_;
}

// -- From the start --------------------------------------------------------------------------------------------------

void LiveReplay::start_over()
{
    ++starts_;
    trace_.reset();
    trace_ = open_trace(file_.again());
    clock_ = trace_->clock;
    read_ = {};
    numbers_.clear();
    free_numbers_.clear();
    positions_.clear();
    result_.threads.clear();
    damage_ = {};
    replayer_.emplace(*trace_, std::vector<Analysis*>{});
    inherit();
    trace_->clock = StampConverter(trace_->header.start.stamp);
    take_streams();
    take_positions();
    replayer_->carry(*trace_, result_.stacks);
    apply_events(true);
}

// Stacks keep their numbers, and modules theirs: whoever watches them grow goes on doing so.
void LiveReplay::inherit()
{
    if (own_modules_ < trace_->modules.size() && trace_->parent) {
        own_modules_ = trace_->modules.size() + kSpareModules;
        result_.stacks = StackTable();
        result_.modules.clear();
        ++stacks_version_;
    }
    take_modules();
    if (!trace_->parent) return;
    const auto blocks = inherited_blocks(*trace_, result_.stacks, result_.modules);
    result_.info.parent_found = blocks.has_value();
    if (!blocks) return;
    for (const LiveBlock& block : *blocks) replayer_->inherit(block);
}

void LiveReplay::take_positions()
{
    if (!trace_->carried) return;
    read_.carried_number = trace_->carried->number;
    read_.forgotten = trace_->carried->forgotten;
    read_.forgotten_buffers = trace_->carried->forgotten_buffers;
    for (const CarriedState::Stream& stream : trace_->carried->streams)
        if (const auto number = numbers_.find({stream.thread, stream.level}); number != numbers_.end())
            *positions_[number->second] = {stream.sequence, stream.events};
}

// -- What is new -----------------------------------------------------------------------------------------------------

// False: events are folded that were not applied, or were while they were read.
bool LiveReplay::go_on()
{
    const uint64_t carried_number = read_.carried_number;
    trace_ = reopen_trace(file_.again(), read_);
    if (!trace_) return false;
    if (read_.carried_number != carried_number) forget_streams();
    if (trace_->parent && trace_->modules.size() > own_modules_) return false;
    clock_ = trace_->clock;
    trace_->clock = StampConverter(trace_->header.start.stamp);
    take_modules();
    take_streams();
    replayer_->set_threads(trace_->thread_count);
    apply_events(false);
    return trace_->damage.empty() || carried_number_now(trace_->file) == read_.carried_number;
}

void LiveReplay::take_streams()
{
    number_of_stream_.clear();
    for (const Stream& stream : trace_->streams) {
        const StreamKey key{stream.thread.value, stream.level};
        const auto [known, added] = numbers_.try_emplace(key, static_cast<uint32_t>(positions_.size()));
        if (added) begin_stream(known->second, key);
        number_of_stream_.push_back(known->second);
    }
}

// number: the next one, in whose place comes one that is free.
void LiveReplay::begin_stream(uint32_t& number, const StreamKey& key)
{
    if (free_numbers_.empty()) {
        positions_.push_back(nullptr);
    } else {
        number = free_numbers_.back();
        free_numbers_.pop_back();
    }
    positions_[number] = &read_.positions[key];
    replayer_->begin_stream(number, ThreadId{key.first});
}

// Those of threads that ended and of which all was applied; and their names, where no block is theirs.
void LiveReplay::forget_streams()
{
    std::erase_if(numbers_, [&](const auto& stream) {
        const auto& [key, number] = stream;
        if (!read_.forgotten.has(key.first)) return false;
        replayer_->end_stream(number, ThreadId{key.first});
        positions_[number] = nullptr; // reopen_trace() has taken it out
        free_numbers_.push_back(number);
        return true;
    });
    std::erase_if(result_.threads, [&](const Thread& thread) {
        return read_.forgotten.has(thread.id.value) && find_thread(trace_->threads, thread.id) == nullptr;
    });
}

void LiveReplay::apply_events(bool from_start)
{
    EventMerge merge(*trace_, result_.stacks);
    TraceEvent event;
    const auto all = static_cast<double>(std::max<uint64_t>(trace_->event_count, 1));
    const bool tells_progress = from_start && on_progress_;
    for (uint64_t done = 0; merge.next(event); ++done) {
        event.stream = number_of_stream_[event.stream];
        *positions_[event.stream] = {event.buffer, event.number};
        replayer_->apply(event);
        if (tells_progress && done % kProgressEvents == 0) on_progress_(std::min(static_cast<double>(done) / all, 1.0));
    }
    replayer_->settle(trace_->cut_stamp.value_or(UINT64_MAX));
    if (tells_progress) on_progress_(1);
    close_finished_buffers();
    damage_.merge(trace_->damage);
}

// A chunk is all of its buffer: nothing comes behind its last event.
void LiveReplay::close_finished_buffers()
{
    for (size_t i = 0; i < trace_->streams.size(); ++i) {
        StreamPosition& position = *positions_[number_of_stream_[i]];
        const auto& buffers = trace_->streams[i].buffers;
        const auto at = std::ranges::lower_bound(buffers, position.sequence, {}, &BufferRef::sequence);
        if (at == buffers.end() || at->sequence != position.sequence) continue;
        if (at->raw_copy == kNoRawCopy && at->event_count == position.events) position = {position.sequence + 1, 0};
    }
}

// -- Results ---------------------------------------------------------------------------------------------------------

void LiveReplay::take_modules()
{
    result_.modules.resize(std::max({result_.modules.size(), trace_->modules.size(), own_modules_}));
    // What the journal said once holds, though it may be carried by now and not read again.
    for (size_t i = 0; i < trace_->modules.size(); ++i)
        if (!trace_->modules[i].path.empty() || result_.modules[i].path.empty())
            result_.modules[i] = trace_->modules[i];
}

// As modules. Both are by id.
void LiveReplay::take_threads()
{
    std::vector<Thread> threads;
    auto before = result_.threads.begin();
    for (const Thread& now : trace_->threads) {
        for (; before != result_.threads.end() && before->id < now.id; ++before) threads.push_back(std::move(*before));
        const bool is_known = before != result_.threads.end() && before->id == now.id;
        threads.push_back(is_known && now.tid == 0 ? *before : now);
        if (is_known) ++before;
    }
    threads.insert(threads.end(), before, result_.threads.end());
    result_.threads = std::move(threads);
}

void LiveReplay::take_info()
{
    const bool parent_found = result_.info.parent_found;
    trace_->damage = damage_;
    result_.info = trace_->info;
    result_.info.parent_found = parent_found;
    result_.info.gap_events = trace_->header.lost_events + damage_.lost_events();
    take_threads();
    result_.samples = trace_->samples;
    // Beyond this point the trace is asked for facts alone.
    trace_->raw_copies = {};
    trace_->streams = {};
    trace_->carried.reset();
}

int64_t LiveReplay::to_ns(int64_t ticks) const
{
    return clock_.to_ns(trace_->header.start.stamp + static_cast<uint64_t>(ticks));
}

int64_t LiveReplay::end_ns() const
{
    return to_ns(replayer_->end_ns());
}

bool LiveReplay::process_runs() const
{
    return still_running(trace_->header);
}

const ReplayResult& LiveReplay::result()
{
    if (has_last_result_) return result_;
    has_last_result_ = is_over_;
    // The replay goes on: a copy of it ends.
    std::optional<Replayer> ended;
    if (!is_over_) ended.emplace(*replayer_).finish();
    fill_result(*trace_, ended ? *ended : *replayer_, result_);
    result_.accounts.set_clock(clock_);
    for (std::vector<LiveBlock>* blocks : {&result_.unfreed, &result_.mapped})
        for (LiveBlock& block : *blocks) block.allocated_ns = to_ns(block.allocated_ns);
    result_.totals.peak_ns = to_ns(result_.totals.peak_ns);
    result_.info.duration_ns = to_ns(result_.info.duration_ns);
    return result_;
}

} // namespace leak::analyzer
