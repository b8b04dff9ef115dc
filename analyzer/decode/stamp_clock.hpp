// From stamps to nanoseconds since the start of the trace (FORMAT.md, section 3, "Stamps").
//
// Any thread; no allocation. Cost of a conversion: one multiplication.
#pragma once

#include "format/layout.hpp"

#include <cstdint>
#include <optional>

namespace leak::analyzer {

class StampConverter {
public:
    // 1 tick is 1 ns.
    explicit StampConverter(uint64_t start_stamp = 0) : start_stamp_(start_stamp) {}

    // A clock that went from `start` to `end`; needs both members of `end` to be later.
    StampConverter(const format::ClockPair& start, const format::ClockPair& end);

    // Negative before the start (blocks of a forked process are older than its trace). Never falls as stamps grow.
    [[nodiscard]] int64_t to_ns(uint64_t stamp) const;

    // The first stamp that is at `ns` or later, as far as the resolution goes; less than UINT64_MAX.
    [[nodiscard]] uint64_t to_stamp(int64_t ns) const;

private:
    uint64_t start_stamp_;
    uint64_t ns_per_tick_ = uint64_t{1} << kFractionBits; // fixed point
    static constexpr unsigned kFractionBits = 56;         // ratios up to 255 ns a tick: no clock is that slow
};

// The clock `clock` of this machine, now; nothing where it is not ours to read.
[[nodiscard]] std::optional<format::ClockPair> read_clock(format::StampClock clock);

// Chooses the pair that calibrates best: the later one of the header or, on the machine and boot that wrote the trace,
// this moment. Nothing when there is none and the clock needs one.
[[nodiscard]] std::optional<StampConverter> make_converter(const format::FileHeader& header, bool same_boot);

} // namespace leak::analyzer
