// A trace of this very process: one that runs. Test code.
#pragma once

#include "tests/unit/trace_builder.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <fstream>
#include <sstream>
#include <string>
#include <unistd.h>

namespace leak::test {

[[nodiscard]] inline uint64_t own_start_ticks()
{
    std::ifstream file("/proc/self/stat");
    std::string line;
    std::getline(file, line);
    std::istringstream fields(line.substr(line.rfind(')') + 1));
    std::string field;
    for (int number = 3; number <= 22; ++number) fields >> field;
    return std::stoull(field);
}

// Two hexadecimal digits a byte, dashes between.
inline void read_boot_id(format::FileHeader& header)
{
    std::ifstream file("/proc/sys/kernel/random/boot_id");
    std::string text;
    std::getline(file, text);
    std::erase(text, '-');
    REQUIRE(text.size() == 32);
    for (size_t i = 0; i < 16; ++i)
        header.boot_id[i] = static_cast<uint8_t>(std::stoul(text.substr(2 * i, 2), nullptr, 16));
}

// A trace as if this process wrote it and were still at it.
[[nodiscard]] inline TraceBuilder own_trace()
{
    TraceBuilder trace;
    read_boot_id(trace.header);
    trace.header.pid = static_cast<uint32_t>(getpid());
    trace.header.process_start_ticks = own_start_ticks();
    trace.header.end_state = format::EndState::open;
    return trace;
}

} // namespace leak::test
