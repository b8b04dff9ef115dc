#include "analyzer/cli/follow.hpp"

#include "analyzer/cli/output.hpp"
#include "analyzer/cli/progress.hpp"
#include "analyzer/cli/report_work.hpp"
#include "analyzer/render/report_json.hpp"
#include "analyzer/render/report_text.hpp"
#include "analyzer/replay/live_replay.hpp"
#include "analyzer/user_error.hpp"

#include <algorithm>
#include <array>
#include <iostream>
#include <spdlog/spdlog.h>
#include <sstream>
#include <sys/resource.h>
#include <thread>
#include <unistd.h>

namespace leak::analyzer {

namespace {

constexpr auto kPollNew = std::chrono::milliseconds(50);
constexpr auto kPatience = std::chrono::seconds(8); // with a file that is there and no trace yet
constexpr auto kYoung = std::chrono::seconds(10);

// A trace that is being created has no header yet.
void first_refresh(LiveReplay& live, bool is_new, bool& runs)
{
    const auto give_up = RefreshPace::Clock::now() + kPatience;
    for (;;) {
        try {
            runs = live.refresh();
            return;
        } catch (const UserError&) {
            if (!is_new || RefreshPace::Clock::now() > give_up) throw;
            std::this_thread::sleep_for(kPollNew);
        }
    }
}

std::string time_of_day()
{
    const std::time_t now = std::time(nullptr);
    std::tm local{};
    localtime_r(&now, &local);
    std::array<char, 32> text{};
    std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M:%S", &local);
    return text.data();
}

std::string report_words(const LeakReport& report, const ReportOptions& options, const TextStyle& style)
{
    std::ostringstream text;
    if (options.json()) {
        write_json_line(text, report_json(report, options.json_top()));
        return std::move(text).str();
    }
    text << "==== " << time_of_day() << " ====\n\n";
    write_report_text(text, report, style);
    text << '\n';
    return std::move(text).str();
}

} // namespace

RefreshPace::RefreshPace(double interval_seconds)
    : interval_(std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(interval_seconds)))
{
}

void RefreshPace::begin_work()
{
    began_ = Clock::now();
    cpu_ = std::clock();
}

RefreshPace::Clock::time_point RefreshPace::end_work() const
{
    const std::chrono::duration<double> work(static_cast<double>(std::clock() - cpu_) / CLOCKS_PER_SEC);
    spdlog::debug("a refresh took {:.3f} s of CPU time", work.count());
    return began_ +
           from_begin_to_begin(interval_, Clock::now() - began_, std::chrono::duration_cast<Clock::duration>(work));
}

HeldSignals::HeldSignals()
{
    sigset_t held;
    sigemptyset(&held);
    for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP}) sigaddset(&held, signal);
    sigprocmask(SIG_BLOCK, &held, &before_);
}

HeldSignals::~HeldSignals()
{
    sigprocmask(SIG_SETMASK, &before_, nullptr);
}

void give_way()
{
    constexpr int kNiceness = 10;
    if (getpriority(PRIO_PROCESS, 0) < kNiceness) setpriority(PRIO_PROCESS, 0, kNiceness);
}

void exit_on_interrupt()
{
    struct sigaction action{};
    sigaction(SIGINT, nullptr, &action);
    if (action.sa_handler == SIG_IGN) return;
    action = {};
    action.sa_handler = [](int) { _exit(0); };
    sigaction(SIGINT, &action, nullptr);
}

bool wait_for_trace(const std::filesystem::path& trace)
{
    std::error_code ignored;
    if (std::filesystem::exists(trace, ignored)) {
        const auto changed = std::filesystem::last_write_time(trace, ignored);
        return !ignored && std::filesystem::file_time_type::clock::now() - changed < kYoung;
    }
    std::cerr << "leakan: waiting for " << trace.string() << std::endl;
    while (!std::filesystem::exists(trace, ignored)) std::this_thread::sleep_for(kPollNew);
    return true;
}

ReportFindings follow_report(const std::string& trace, const ReportOptions& options, double interval_seconds)
{
    const Suppressions suppressions = options.suppressions();
    Output output(options.output);
    const TextStyle style = options.text_style(output.paint(options.color));
    exit_on_interrupt();
    give_way();
    const bool is_new = wait_for_trace(trace);
    Progress progress("reading " + trace);
    LiveReplay live(trace, progress.callback());
    Symbolizer symbolizer({});
    RefreshPace pace(interval_seconds);
    for (bool is_first = true;; is_first = false) {
        pace.begin_work();
        bool runs = true;
        first_refresh(live, is_first && is_new, runs);
        symbolizer.add(live.modules());
        // The last one has the snapshot of the end, and what a single reading finds.
        const LeakReport report = runs ? report_of(live.result(), symbolizer, options, suppressions)
                                       : read_report(trace, options, suppressions);
        const std::string text = report_words(report, options, style);
        progress.clear();
        {
            const HeldSignals held;
            output.stream() << text;
            output.finish();
        }
        if (!runs || output.closed()) {
            ReportFindings findings;
            findings.add(report);
            return findings;
        }
        const auto next = pace.end_work();
        while (RefreshPace::Clock::now() < next && live.process_runs())
            std::this_thread::sleep_for(
                std::min<RefreshPace::Clock::duration>(kLookEvery, next - RefreshPace::Clock::now()));
    }
}

} // namespace leak::analyzer
