// What the commands share that read the trace of a running process again and again: their pace, and `report --follow`.
//
// One thread.
#pragma once

#include "analyzer/cli/report_work.hpp"

#include <algorithm>
#include <chrono>
#include <csignal>
#include <ctime>
#include <filesystem>
#include <string>

namespace leak::analyzer {

inline constexpr double kDefaultInterval = 2; // seconds

// How often a running process is looked at: every interval, and so seldom that it takes a tenth of one core. Who
// allocates faster than a tenth of a core can replay would be followed ever later: a pause has a bound.
class RefreshPace {
public:
    using Clock = std::chrono::steady_clock;
    static constexpr int kRest = 9; // times what the work took
    static constexpr std::chrono::seconds kLongestRest{60};

    explicit RefreshPace(double interval_seconds);

    void begin_work();
    // When the next work may begin, of the one that ends here.
    [[nodiscard]] Clock::time_point end_work() const;

    // work: CPU time.
    [[nodiscard]] static Clock::duration from_begin_to_begin(Clock::duration interval, Clock::duration took,
                                                             Clock::duration work)
    {
        return std::max(interval, took + std::min<Clock::duration>(kRest * work, kLongestRest));
    }

private:
    Clock::duration interval_;
    Clock::time_point began_;
    std::clock_t cpu_ = 0;
};

// Where no core is idle the process that is read comes first: with this niceness about a tenth of a core is left to us
// beside a thread that never sleeps.
void give_way();

// How long to sleep at most before it is looked whether the process has ended.
inline constexpr auto kLookEvery = std::chrono::milliseconds(200);

// Ctrl-C waits while this lives: output is all there or not at all.
class HeldSignals {
public:
    HeldSignals();
    ~HeldSignals();
    HeldSignals(const HeldSignals&) = delete;
    HeldSignals& operator=(const HeldSignals&) = delete;

private:
    sigset_t before_{};
};

// SIGINT ends the process with status 0, unless it is ignored (nohup, a shell's background).
void exit_on_interrupt();

// Waits until there is a file `trace`, and says so on standard error. True when it had to, or the file was made or has
// grown just now: it may be no trace yet.
bool wait_for_trace(const std::filesystem::path& trace);

// Writes one report after the other until the process of `trace` has ended, the last one then. Returns whether that has
// unfreed blocks. On Ctrl-C the process exits with status 0.
ReportFindings follow_report(const std::string& trace, const ReportOptions& options, double interval_seconds);

} // namespace leak::analyzer
