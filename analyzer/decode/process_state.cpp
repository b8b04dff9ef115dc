#include "analyzer/decode/process_state.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <fstream>
#include <sstream>
#include <string>

namespace leak::analyzer {

namespace {

[[nodiscard]] int hex_digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return -1;
}

[[nodiscard]] std::array<uint8_t, 16> boot_id()
{
    std::array<uint8_t, 16> id = {};
    std::ifstream file("/proc/sys/kernel/random/boot_id");
    std::string text;
    std::getline(file, text);
    size_t digits = 0;
    for (const char c : text) {
        const int digit = hex_digit(c);
        if (digit < 0 || digits >= 2 * id.size()) continue;
        uint8_t& byte = id[digits / 2];
        byte = static_cast<uint8_t>(byte << 4 | digit);
        ++digits;
    }
    return id;
}

} // namespace

bool written_on_this_boot(const format::FileHeader& header)
{
    const auto ours = boot_id();
    const bool known = std::ranges::any_of(ours, [](uint8_t byte) { return byte != 0; });
    return known && std::ranges::equal(ours, header.boot_id);
}

bool still_running(const format::FileHeader& header)
{
    if (!written_on_this_boot(header)) return false;
    std::ifstream file("/proc/" + std::to_string(header.pid) + "/stat");
    std::string line;
    if (!std::getline(file, line)) return false;
    // The name, in brackets, may hold anything; the fields behind it are counted from its end: state is field 3.
    const size_t name_end = line.rfind(')');
    if (name_end == std::string::npos) return false;
    std::istringstream fields(line.substr(name_end + 1));
    std::string field;
    for (int number = 3; fields >> field; ++number) {
        if (number == 3 && (field == "Z" || field == "X")) return false;
        if (number == 22) return field == std::to_string(header.process_start_ticks);
    }
    return false;
}

} // namespace leak::analyzer
