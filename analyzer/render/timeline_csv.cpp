#include "analyzer/render/timeline_csv.hpp"

#include <cstdio>

namespace leak::analyzer {

namespace {

std::string seconds(int64_t ns)
{
    char text[32];
    std::snprintf(text, sizeof text, "%.6f", static_cast<double>(ns) / 1e9);
    return text;
}

} // namespace

void write_timeline_csv(std::ostream& out, const Timeline& timeline, size_t rows)
{
    out << "seconds,live_bytes,live_blocks,allocated_bytes,events,mapped_bytes";
    for (const char* name : kSampleFigureNames) out << ',' << name;
    out << '\n';
    auto next = timeline.memory.begin();
    ProcessSample memory;
    for (const int64_t at_ns : grid(timeline, rows)) {
        const HistorySample heap = state_at(timeline.heap, at_ns);
        out << seconds(at_ns) << ',' << heap.live_bytes << ',' << heap.live_blocks << ',' << heap.allocated_bytes << ','
            << heap.events << ',' << state_at(timeline.mapped, at_ns).live_bytes;
        for (; next != timeline.memory.end() && next->at_ns <= at_ns; ++next)
            for (const auto figure : kSampleFigures)
                if (*next.*figure) memory.*figure = *next.*figure;
        for (const auto figure : kSampleFigures) {
            out << ',';
            if (memory.*figure) out << *(memory.*figure);
        }
        out << '\n';
    }
}

} // namespace leak::analyzer
