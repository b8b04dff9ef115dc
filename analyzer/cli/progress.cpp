#include "analyzer/cli/progress.hpp"

#include <algorithm>
#include <iostream>
#include <unistd.h>
#include <utility>

namespace leak::analyzer {
namespace {

constexpr auto kFirst = std::chrono::milliseconds(400);
constexpr auto kInterval = std::chrono::milliseconds(100);

} // namespace

Progress::Progress(std::string what)
    : what_(std::move(what)), on_terminal_(isatty(STDERR_FILENO) == 1), next_(std::chrono::steady_clock::now() + kFirst)
{
}

void Progress::update(double share)
{
    if (!on_terminal_) {
        return;
    }
    const auto now = std::chrono::steady_clock::now();
    if (now < next_) {
        return;
    }
    next_ = now + kInterval;
    shown_ = true;
    const int percent = static_cast<int>(std::clamp(share, 0.0, 1.0) * 100);
    std::cerr << "\r\033[K" << what_ << " " << percent << " %" << std::flush;
}

void Progress::clear()
{
    if (std::exchange(shown_, false)) {
        std::cerr << "\r\033[K" << std::flush;
    }
}

std::function<void(double)> Progress::callback()
{
    if (!on_terminal_) {
        return {};
    }
    return [this](double share) { update(share); };
}

} // namespace leak::analyzer
