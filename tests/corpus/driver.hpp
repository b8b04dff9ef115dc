// What makes a program of the corpus work: phases of load, paced by sleeps, and of rest, seconds instead of hours.
// The schedule is kept whatever the machine is doing: a request that is late is made up for at once.
#pragma once

#include "preload/leak.h"

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <span>
#include <string_view>
#include <thread>
#include <unistd.h>

namespace corpus {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

// PROGRAM [MODE] [CYCLES]
struct Arguments {
    std::string_view mode;
    unsigned cycles = 1;

    Arguments(int argc, char** argv)
    {
        for (const std::string_view argument : std::span(argv, static_cast<size_t>(argc)).subspan(1)) {
            if (const unsigned number = static_cast<unsigned>(std::atoi(argument.data())); number > 0)
                cycles = number;
            else
                mode = argument;
        }
    }
};

// One thread drives. The environment says what is not the program's business:
//   CORPUS_PHASES=FILE  the truth: a line "load FROM_MS TO_MS" for each load, counted from the start, and behind it a
//                       line "late MS": how long, at most, the machine has let a sleep go on beyond its end
//   CORPUS_MARKS=1      tells the tracer when load starts and stops
//   CORPUS_KILLED=1     the program is killed where it would begin to end
class Driver {
public:
    // `per_second` requests, evenly. serve(number): requests are numbered from 1.
    template <class Serve> void load(milliseconds duration, double per_second, Serve serve)
    {
        load_shaped(duration, [=](double) { return per_second; }, serve);
    }

    // rate_at(x) is the rate when the part x of the load is over, from 0 to 1.
    template <class RateAt, class Serve> void load_shaped(milliseconds duration, RateAt rate_at, Serve serve)
    {
        mark("load start");
        const Clock::time_point from = Clock::now();
        const long ticks = duration / kTick;
        double due = 0;
        for (long tick = 0; tick < ticks; ++tick) {
            due += rate_at(static_cast<double>(tick) / static_cast<double>(ticks)) * kTickSeconds;
            for (; due >= 1; --due) serve(++requests_);
            idle(kTick);
        }
        mark("load stop");
        note_load(from, Clock::now());
    }

    void idle(milliseconds duration)
    {
        next_ += duration;
        if (Clock::now() >= next_) return; // behind by work of its own
        std::this_thread::sleep_until(next_);
        latest_ = std::max(latest_, Clock::now() - next_);
    }

    // What was done so far is not part of the schedule, which begins now. How long it took.
    milliseconds begin_anew()
    {
        next_ = Clock::now();
        return std::chrono::duration_cast<milliseconds>(next_ - started_);
    }

    // A rest, then load and rest in turn: one long cycle, or some shorter ones.
    template <class Serve> void cycles(unsigned count, double per_second, Serve serve)
    {
        idle(500ms);
        for (unsigned cycle = 0; cycle < count; ++cycle) {
            load(count == 1 ? 2000ms : 1000ms, per_second, serve);
            idle(count == 1 ? 2000ms : 800ms);
        }
    }

    // The script is over. A program that survives this ends as programs do, and takes down what it has.
    static void end()
    {
        if (std::getenv("CORPUS_KILLED")) kill(getpid(), SIGKILL);
    }

private:
    static void mark(const char* text)
    {
        if (std::getenv("CORPUS_MARKS")) leak_mark(text);
    }

    void note_load(Clock::time_point from, Clock::time_point to) const
    {
        const char* path = std::getenv("CORPUS_PHASES");
        const int file = path ? open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666) : -1;
        if (file < 0) return;
        dprintf(file, "load %lld %lld\nlate %lld\n", since_start(from), since_start(to),
                static_cast<long long>(std::chrono::duration_cast<milliseconds>(latest_).count()));
        close(file);
    }

    long long since_start(Clock::time_point time) const
    {
        return std::chrono::duration_cast<milliseconds>(time - started_).count();
    }

    static constexpr milliseconds kTick = 5ms;
    static constexpr double kTickSeconds = 0.005;

    const Clock::time_point started_ = Clock::now();
    Clock::time_point next_ = started_; // when the next thing is due
    unsigned requests_ = 0;
    Clock::duration latest_{};
};

} // namespace corpus
