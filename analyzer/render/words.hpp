// Numbers as a person reads them: binary units, thousands separators, times in words.
//
// Pure functions, any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace leak::analyzer {

[[nodiscard]] std::string bytes_words(uint64_t bytes);        // "712 bytes", "71.0 KiB", "1.21 GiB"
[[nodiscard]] std::string count_words(uint64_t count);        // "1,904,112"
[[nodiscard]] std::string time_words(int64_t ns);             // "0.21 s", "4 min 12 s", "6 h 12 min", "3 d 4 h"
[[nodiscard]] std::string percent_words(double share);        // "63 %", "< 1 %"
[[nodiscard]] std::string signed_bytes_words(int64_t change); // "+71.0 KiB", "-12 bytes"
[[nodiscard]] std::string hex_words(uint64_t value);          // "0x5f21"

// "1 block", "2 blocks"; with its sign: "+1 block", "-2 blocks".
[[nodiscard]] std::string plural(uint64_t count, std::string_view one, std::string_view many);
[[nodiscard]] std::string signed_plural(int64_t change, std::string_view one, std::string_view many);

// Thread ids with runs drawn together: "4711", "4713-4720, 4724 and 12 more".
[[nodiscard]] std::string id_ranges(const std::vector<uint32_t>& sorted);

} // namespace leak::analyzer
