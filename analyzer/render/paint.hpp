// Terminal colours, or none.
//
// Plain value, any thread.
#pragma once

#include <string>
#include <string_view>

namespace leak::analyzer {

class Paint {
public:
    Paint() = default;
    explicit Paint(bool on) : on_(on) {}

    [[nodiscard]] std::string bold(std::string_view text) const { return wrap("\033[1m", text); }
    [[nodiscard]] std::string dim(std::string_view text) const { return wrap("\033[2m", text); }
    [[nodiscard]] std::string bad(std::string_view text) const { return wrap("\033[1;31m", text); }
    [[nodiscard]] std::string good(std::string_view text) const { return wrap("\033[1;32m", text); }
    [[nodiscard]] std::string warn(std::string_view text) const { return wrap("\033[33m", text); }

private:
    [[nodiscard]] std::string wrap(std::string_view code, std::string_view text) const
    {
        return on_ ? std::string(code) + std::string(text) + "\033[0m" : std::string(text);
    }
    bool on_ = false;
};

} // namespace leak::analyzer
