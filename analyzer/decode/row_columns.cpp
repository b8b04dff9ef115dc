#include "analyzer/decode/row_columns.hpp"

#include "format/event_encoder.hpp"

#include <memory>

namespace leak::analyzer {

RowColumns columns_of_rows(std::span<const std::byte> rows, uint32_t count, uint64_t base_stamp)
{
    const auto encoder = std::make_unique<format::EventEncoder>();
    std::vector<std::byte> memory(format::EventEncoder::memory_bytes(rows.size()));
    encoder->begin(memory, rows.size(), base_stamp);
    RowColumns result;
    result.fault = encoder->append_all({rows, count, base_stamp});
    result.event_count = encoder->event_count();
    result.last_stamp = encoder->last_stamp();
    for (uint32_t c = 0; c < format::kColumnCount; ++c) {
        const auto column = std::as_bytes(encoder->column(c));
        result.column_bytes[c] = static_cast<uint32_t>(column.size());
        result.bytes.insert(result.bytes.end(), column.begin(), column.end());
    }
    return result;
}

} // namespace leak::analyzer
