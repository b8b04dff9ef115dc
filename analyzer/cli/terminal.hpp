// A terminal that shows one screen and is given back as it was: at the end, by whatever signal ends the process, and
// while it is suspended (Ctrl-Z).
//
// One thread, one object at a time.
#pragma once

#include <chrono>
#include <cstddef>
#include <string>
#include <vector>

namespace leak::analyzer {

class Terminal {
public:
    // Standard output is a terminal that knows escape sequences.
    [[nodiscard]] static bool is_there();

    // Switches to the alternate screen; keys come at once and are not echoed. SIGINT ends the process with status 0
    // from here on, other signals as they do.
    Terminal();
    ~Terminal();
    Terminal(const Terminal&) = delete;
    Terminal& operator=(const Terminal&) = delete;

    struct Size {
        size_t width = 80;
        size_t height = 24;
    };
    [[nodiscard]] Size size() const;

    void draw(const std::vector<std::string>& lines) const;

    // The next key; 0 when there is none within the time, or when the screen is to be drawn again.
    [[nodiscard]] char wait_for_key(std::chrono::milliseconds most);
    // Since the last call the size has changed, or the screen was somebody else's.
    [[nodiscard]] bool must_redraw();

private:
    bool has_keys_ = false; // standard input is a terminal
};

} // namespace leak::analyzer
