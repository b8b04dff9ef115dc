#include "analyzer/render/run_words.hpp"

#include "analyzer/render/words.hpp"
#include "analyzer/report/frame_kind.hpp"

namespace leak::analyzer {
namespace {

constexpr size_t kDamageShown = 5;

std::string cause_words(format::LossCause cause)
{
    switch (cause) {
    case format::LossCause::none:
        return "for an unknown reason";
    case format::LossCause::no_space:
        return "because the file could not grow (disk full, or a limit on the file's size)";
    case format::LossCause::nested_signal:
        return "because signal handlers interrupted the recording too deeply";
    case format::LossCause::no_memory:
        return "because there was no memory for the tracer";
    case format::LossCause::internal:
        return "because of an internal error of the tracer";
    case format::LossCause::overflow:
        return "because events came faster than they were compressed (LEAK_OVERFLOW=drop)";
    case format::LossCause::truncated:
        return "because somebody cut the file while the program ran";
    }
    return "for a reason this version does not know";
}

std::string gap_words(const TraceInfo& info)
{
    std::string text = plural(info.gap_events, "event is", "events are") + " missing " + cause_words(info.loss_cause);
    if (info.loss_first_ns) {
        text += ", the first at " + time_words(*info.loss_first_ns);
    }
    return text + "; blocks may be reported as unfreed that were freed, or be left out.";
}

} // namespace

std::string end_words(const TraceInfo& info)
{
    const std::string status = info.exit_status ? " with status " + std::to_string(*info.exit_status) : std::string();
    switch (info.end_state) {
    case format::EndState::exit_started:
        return info.still_running ? "is exiting" : "exited" + status;
    case format::EndState::fast_exit:
        return "left by _exit" + status;
    case format::EndState::exec:
        return "replaced by " + (info.exec_path.empty() ? "another program" : info.exec_path);
    case format::EndState::open:
        break;
    }
    return info.still_running ? "still running" : "killed or crashed";
}

bool ended_normally(const TraceInfo& info)
{
    return info.end_state == format::EndState::exit_started && !info.still_running;
}

std::string run_words(const TraceInfo& info)
{
    const std::string name = info.exe.empty() ? "the program" : std::string(base_name(info.exe));
    return name + " (pid " + std::to_string(info.pid) + ", " + time_words(info.duration_ns) + ", " + end_words(info) +
           ")";
}

std::string ring_words(const TraceInfo& info)
{
    if (info.ring_bytes == 0) {
        return "unbounded";
    }
    return "at most " + bytes_words(info.ring_bytes) + ", " +
           (info.folded_ns ? "events since " + time_words(*info.folded_ns) + ", live blocks and totals since the start"
                           : "all events are there");
}

std::vector<std::string> missing_words(const TraceInfo& info)
{
    std::vector<std::string> words;
    if (info.gap_events > 0) {
        words.push_back(gap_words(info));
    }
    for (size_t i = 0; i < info.damage.size() && i < kDamageShown; ++i) {
        const Damage& damage = info.damage[i];
        words.push_back(
            "The file is damaged at offset " + count_words(damage.offset) + ": " + damage.what +
            (damage.lost_events > 0 ? " (" + plural(damage.lost_events, "event", "events") + " lost)." : "."));
    }
    if (info.damage.size() > kDamageShown) {
        words.push_back(count_words(info.damage.size() - kDamageShown) + " more damaged places: see leakan info.");
    }
    if (info.unlisted.blocks > 0) {
        words.push_back(plural(info.unlisted.blocks, "block", "blocks") + " of at most " +
                        bytes_words(info.unlisted.max_bytes) + ", " + bytes_words(info.unlisted.bytes) +
                        " in all, are known by their stacks alone: the ring had no room for each. " +
                        plural(info.unlisted.releases, "release", "releases") +
                        " since then may be of some of them, so less may be unfreed; set a larger LEAK_RING.");
    }
    for (const auto& [from, to] : info.paused) {
        words.push_back("Recording was switched off from " + time_words(from) + " to " + time_words(to) +
                        ": nothing of that time is known.");
    }
    if (!info.parent_trace_path.empty() && !info.parent_found) {
        words.push_back("The parent's trace was not found (" + info.parent_trace_path +
                        "): releases of blocks from before the fork count as unmatched.");
    }
    if (info.end_state == format::EndState::fast_exit) {
        words.emplace_back("The program left by _exit: destructors and exit handlers did not run.");
    }
    return words;
}

} // namespace leak::analyzer
