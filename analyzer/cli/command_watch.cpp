#include "analyzer/cli/commands.hpp"
#include "analyzer/cli/follow.hpp"
#include "analyzer/cli/output.hpp"
#include "analyzer/cli/process_trace.hpp"
#include "analyzer/cli/progress.hpp"
#include "analyzer/cli/terminal.hpp"
#include "analyzer/render/watch_text.hpp"
#include "analyzer/replay/live_replay.hpp"
#include "analyzer/report/watch_view.hpp"

#include <CLI/CLI.hpp>
#include <chrono>
#include <memory>
#include <optional>
#include <thread>

namespace leak::analyzer {
namespace {

using Clock = RefreshPace::Clock;

struct Arguments {
    std::string target;
    std::string sort = "growth";
    std::string color = "auto";
    double interval_seconds = kDefaultInterval;
    double window_seconds = 0; // 0: since watch began
    uint64_t count = 0;        // 0: until the process ends
};

WatchSort sort_of(const std::string& name)
{
    return name == "bytes" ? WatchSort::bytes : name == "blocks" ? WatchSort::blocks : WatchSort::growth;
}

std::optional<int64_t> window_of(const Arguments& arguments)
{
    if (arguments.window_seconds == 0) return std::nullopt;
    return static_cast<int64_t>(arguments.window_seconds * 1e9);
}

class Watch {
public:
    explicit Watch(const Arguments& arguments)
        : arguments_(arguments), path_(trace_of_target(arguments.target)), output_(""), progress_("reading " + path_),
          live_(path_, progress_.callback()), watcher_(live_, window_of(arguments)), pace_(arguments.interval_seconds),
          sort_(sort_of(arguments.sort))
    {
    }

    void run()
    {
        const bool on_terminal = Terminal::is_there();
        bool runs = true;
        for (uint64_t n = 1;; ++n) {
            pace_.begin_work();
            runs = refresh();
            if (on_terminal && !terminal_) terminal_.emplace();
            show();
            const bool is_last = !runs || n == arguments_.count || output_.closed();
            if (is_last || !wait(pace_.end_work())) break;
        }
        if (!terminal_) return;
        terminal_.reset();
        if (!runs) show(); // stays to be read
    }

private:
    bool refresh()
    {
        const auto now = Clock::now().time_since_epoch();
        const bool runs = live_.refresh();
        const auto unix_now = std::chrono::system_clock::now().time_since_epoch();
        const auto& info = live_.info();
        const int64_t run_ns =
            runs ? std::chrono::nanoseconds(unix_now).count() - static_cast<int64_t>(info.start_unix_ns)
                 : live_.end_ns();
        watcher_.look(std::chrono::nanoseconds(now).count(), run_ns);
        progress_.clear();
        return runs;
    }

    void show()
    {
        WatchStyle style{.paint = output_.paint(arguments_.color)};
        if (terminal_) {
            const Terminal::Size size = terminal_->size();
            style.width = size.width;
            style.height = size.height;
            style.keys = true;
        }
        const auto lines = watch_lines(watcher_.view(sort_, watch_stacks(style.height)), style);
        if (terminal_) return terminal_->draw(lines);
        const HeldSignals held;
        for (const std::string& line : lines) output_.stream() << line << '\n';
        output_.stream() << '\n';
        output_.finish();
    }

    // False: q was pressed.
    bool wait(Clock::time_point until)
    {
        for (auto now = Clock::now(); now < until && live_.process_runs(); now = Clock::now()) {
            const auto most = std::min(kLookEvery, std::chrono::duration_cast<std::chrono::milliseconds>(until - now) +
                                                       std::chrono::milliseconds(1));
            if (!terminal_) {
                std::this_thread::sleep_for(most);
                continue;
            }
            const char key = terminal_->wait_for_key(most);
            if (key == 'q') return false;
            if (key == 's') sort_ = static_cast<WatchSort>((static_cast<int>(sort_) + 1) % 3);
            if (key == 's' || terminal_->must_redraw()) show();
        }
        return true;
    }

    const Arguments& arguments_;
    std::string path_;
    Output output_;
    Progress progress_;
    LiveReplay live_;
    Watcher watcher_;
    RefreshPace pace_;
    WatchSort sort_;
    std::optional<Terminal> terminal_;
};

} // namespace

void add_watch_command(CLI::App& app, int& status)
{
    auto arguments = std::make_shared<Arguments>();
    CLI::App* command = app.add_subcommand("watch", "Show what grows in a running program, as it grows");
    command->add_option("TRACE|PID", arguments->target, "Trace file, or the number of a traced process")->required();
    add_interval_option(*command, arguments->interval_seconds);
    command
        ->add_option("--window", arguments->window_seconds, "Growth over the last SECONDS. Default: since watch began")
        ->check(CLI::Range(1.0, 1e9))
        ->type_name("SECONDS");
    command->add_option("--sort", arguments->sort, "Most growth first (default), most bytes or most blocks")
        ->check(CLI::IsMember({"growth", "bytes", "blocks"}));
    command->add_option("--count", arguments->count, "End after N refreshes")
        ->check(CLI::PositiveNumber)
        ->type_name("N");
    add_color_option(*command, arguments->color);
    command->callback([arguments, &status] {
        exit_on_interrupt();
        give_way();
        Watch(*arguments).run();
        status = kDone;
    });
}

} // namespace leak::analyzer
