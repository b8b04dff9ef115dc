#include "analyzer/render/timeline_csv.hpp"

#include "analyzer/render/growth_words.hpp"

#include <algorithm>
#include <cstdio>

namespace leak::analyzer {

namespace {

std::string seconds(int64_t ns)
{
    char text[32];
    std::snprintf(text, sizeof text, "%.6f", static_cast<double>(ns) / 1e9);
    return text;
}

std::string_view phase_at(const std::vector<Phase>& phases, int64_t at_ns)
{
    const auto phase = std::ranges::find_if(phases, [&](const Phase& one) { return at_ns <= one.to_ns; });
    return phase == phases.end() || at_ns <= phase->from_ns ? "" : name_of(phase->kind);
}

} // namespace

void write_timeline_csv(std::ostream& out, const Timeline& timeline, size_t rows)
{
    out << "seconds,live_bytes,live_blocks,allocated_bytes,events,mapped_bytes";
    for (const char* name : kSampleFigureNames) out << ',' << name;
    out << ",phase\n";
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
        out << ',' << phase_at(timeline.phases, at_ns) << '\n';
    }
}

} // namespace leak::analyzer
