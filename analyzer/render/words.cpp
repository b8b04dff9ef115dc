#include "analyzer/render/words.hpp"

#include <array>
#include <charconv>
#include <cstdio>

namespace leak::analyzer {
namespace {

std::string three_digits(double value)
{
    std::array<char, 32> text{};
    const int decimals = value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
    const auto end = std::to_chars(text.data(), text.data() + text.size(), value, std::chars_format::fixed, decimals);
    return {text.data(), end.ptr};
}

std::string two_units(int64_t total, int64_t per_large, std::string_view large, std::string_view small)
{
    std::string words = std::to_string(total / per_large) + " " + std::string(large);
    if (total % per_large != 0) {
        words += " " + std::to_string(total % per_large) + " " + std::string(small);
    }
    return words;
}

} // namespace

std::string bytes_words(uint64_t bytes)
{
    if (bytes < 1024) {
        return bytes == 1 ? "1 byte" : std::to_string(bytes) + " bytes";
    }
    constexpr std::array<std::string_view, 6> units = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    auto value = static_cast<double>(bytes) / 1024;
    size_t unit = 0;
    // 1023.5 would print as 1024.
    while (value >= 1023.5 && unit + 1 < units.size()) {
        value /= 1024;
        ++unit;
    }
    return three_digits(value) + " " + std::string(units[unit]);
}

std::string count_words(uint64_t count)
{
    std::string digits = std::to_string(count);
    for (size_t at = digits.size(); at > 3; at -= 3) {
        digits.insert(at - 3, 1, ',');
    }
    return digits;
}

std::string time_words(int64_t ns)
{
    if (ns < 0) {
        return "-" + time_words(-ns);
    }
    constexpr int64_t second = 1'000'000'000;
    if (ns == 0) {
        return "0 s";
    }
    if (ns < 1'000'000) {
        return three_digits(static_cast<double>(ns) / 1e3) + " µs";
    }
    if (ns < 100 * second / 1000) {
        return three_digits(static_cast<double>(ns) / 1e6) + " ms";
    }
    if (ns < 60 * second) {
        return three_digits(static_cast<double>(ns) / 1e9) + " s";
    }
    const int64_t seconds = ns / second;
    if (seconds < 3600) {
        return two_units(seconds, 60, "min", "s");
    }
    if (seconds < 48 * 3600) {
        return two_units(seconds / 60, 60, "h", "min");
    }
    return two_units(seconds / 3600, 24, "d", "h");
}

std::string percent_words(double share)
{
    const double percent = share * 100;
    if (percent > 0 && percent < 1) {
        return "< 1 %";
    }
    return std::to_string(static_cast<int>(percent + (percent > 99 ? 0 : 0.5))) + " %";
}

std::string signed_bytes_words(int64_t change)
{
    const auto size = static_cast<uint64_t>(change < 0 ? -change : change);
    return (change < 0 ? "-" : "+") + bytes_words(size);
}

std::string signed_plural(int64_t change, std::string_view one, std::string_view many)
{
    const auto size = static_cast<uint64_t>(change < 0 ? -change : change);
    return (change < 0 ? "-" : "+") + plural(size, one, many);
}

std::string hex_words(uint64_t value)
{
    std::array<char, 20> text{};
    const auto end = std::to_chars(text.data(), text.data() + text.size(), value, 16);
    return "0x" + std::string(text.data(), end.ptr);
}

std::string plural(uint64_t count, std::string_view one, std::string_view many)
{
    return count_words(count) + " " + std::string(count == 1 ? one : many);
}

std::string id_ranges(const std::vector<uint32_t>& sorted)
{
    constexpr size_t shown = 4;
    std::string text;
    size_t runs = 0;
    for (size_t at = 0; at < sorted.size();) {
        size_t end = at + 1;
        while (end < sorted.size() && sorted[end] == sorted[end - 1] + 1) {
            ++end;
        }
        if (runs++ == shown) {
            return text + " and " + std::to_string(sorted.size() - at) + " more";
        }
        text += (text.empty() ? "" : ", ") + std::to_string(sorted[at]);
        text += end - at > 1 ? (end - at > 2 ? "-" : ", ") + std::to_string(sorted[end - 1]) : "";
        at = end;
    }
    return text;
}

} // namespace leak::analyzer
