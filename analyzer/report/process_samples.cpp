#include "analyzer/report/process_samples.hpp"

#include <algorithm>

namespace leak::analyzer {

namespace {

constexpr int64_t kMostNs = int64_t{50} * 365 * 86400 * 1'000'000'000; // a damaged trace may say anything

} // namespace

int64_t end_of_run(const ReplayResult& trace)
{
    int64_t end_ns = std::max(trace.info.duration_ns, trace.info.ended_ns);
    if (!trace.samples.empty()) end_ns = std::max(end_ns, trace.samples.back().at_ns);
    return std::clamp<int64_t>(end_ns, 0, kMostNs);
}

ProcessSample sample_at(std::span<const ProcessSample> samples, int64_t at_ns)
{
    ProcessSample latest;
    for (const ProcessSample& sample : samples) {
        if (sample.at_ns > at_ns) break;
        latest.at_ns = sample.at_ns;
        for (const auto figure : kSampleFigures)
            if (sample.*figure) latest.*figure = sample.*figure;
    }
    return latest;
}

} // namespace leak::analyzer
