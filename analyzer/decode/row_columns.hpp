// Events in rows, as threads make them, brought into columns, as chunks mostly have them: so there is one decoder.
//
// Any thread.
#pragma once

#include "format/layout.hpp"

#include <array>
#include <cstdint>
#include <span>
#include <vector>

namespace leak::analyzer {

struct RowColumns {
    std::array<uint32_t, format::kColumnCount> column_bytes{};
    std::vector<std::byte> bytes; // the columns, one behind the other
    uint32_t event_count = 0;     // that could be read
    uint64_t last_stamp = 0;
    const char* fault = nullptr; // what is wrong with the row behind them, if anything
};

// rows: `count` of them, one behind the other, 2-byte aligned.
[[nodiscard]] RowColumns columns_of_rows(std::span<const std::byte> rows, uint32_t count, uint64_t base_stamp);

} // namespace leak::analyzer
