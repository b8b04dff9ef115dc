#include "analyzer/cli/parse_time.hpp"

#include "analyzer/user_error.hpp"

#include <algorithm>
#include <charconv>
#include <utility>

namespace leak::analyzer {

int64_t parse_time(const std::string& text)
{
    constexpr std::pair<std::string_view, double> units[] = {{"", 1},     {"ms", 1e-3}, {"s", 1},
                                                             {"min", 60}, {"h", 3600},  {"d", 86400}};
    double value = 0;
    const char* const end = text.data() + text.size();
    const auto [rest, error] = std::from_chars(text.data(), end, value);
    const auto unit =
        std::ranges::find(units, std::string_view(rest, end), &std::pair<std::string_view, double>::first);
    if (error != std::errc() || unit == std::end(units) || !(value >= 0) || value * unit->second > 1e9)
        throw UserError("'" + text + "' is not a time since the start; write 90, 1.5s, 250ms, 3min, 2h or 1d");
    return static_cast<int64_t>(value * unit->second * 1e9);
}

} // namespace leak::analyzer
