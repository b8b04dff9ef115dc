// A line on standard error that says how far long work has come; only on a terminal, erased at the end.
//
// One thread.
#pragma once

#include <chrono>
#include <functional>
#include <string>

namespace leak::analyzer {

class Progress {
public:
    explicit Progress(std::string what);
    ~Progress() { clear(); }
    Progress(const Progress&) = delete;
    Progress& operator=(const Progress&) = delete;

    // `share`: 0..1. Cheap enough to call often.
    void update(double share);
    void clear();

    [[nodiscard]] std::function<void(double)> callback();

private:
    std::string what_;
    bool on_terminal_;
    bool shown_ = false;
    std::chrono::steady_clock::time_point next_; // nothing is shown before: short work stays silent
};

} // namespace leak::analyzer
