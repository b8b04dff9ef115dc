// Runs made up by the tests of phases and verdicts.
#pragma once

#include "analyzer/analysis/growth_verdict.hpp"
#include "analyzer/analysis/phases.hpp"

#include <cmath>
#include <functional>

namespace leak::analyzer::tests {

inline constexpr int64_t kTickNs = 2'000'000;
inline constexpr int64_t kSecondNs = 1'000'000'000;

// A curve of ticks. bytes(s): live bytes at a second; rate(s): allocations a second, all of which are released at once
// but for one live block per 1,000 live bytes.
[[nodiscard]] inline Curve make_curve(double end_s, const std::function<double(double)>& bytes,
                                      const std::function<double(double)>& rate)
{
    Curve curve;
    double allocations = 0;
    uint64_t live_blocks = 0;
    double releases = 0;
    for (int64_t at = kTickNs; at <= static_cast<int64_t>(end_s * kSecondNs); at += kTickNs) {
        const double second = static_cast<double>(at) / kSecondNs;
        HistorySample sample;
        sample.at_ns = at;
        sample.live_bytes = static_cast<uint64_t>(bytes(second));
        sample.live_blocks = sample.live_bytes / 1000;
        const double now = rate(second) * kTickNs / kSecondNs;
        allocations += now;
        releases += now;
        const auto more = static_cast<double>(sample.live_blocks) - static_cast<double>(live_blocks);
        (more > 0 ? allocations : releases) += std::abs(more);
        live_blocks = sample.live_blocks;
        sample.events = static_cast<uint64_t>(allocations + releases);
        curve.push_back(sample);
    }
    return curve;
}

} // namespace leak::analyzer::tests
