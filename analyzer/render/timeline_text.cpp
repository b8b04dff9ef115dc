#include "analyzer/render/timeline_text.hpp"

#include "analyzer/render/run_words.hpp"
#include "analyzer/render/words.hpp"
#include "analyzer/report/frame_kind.hpp"

#include <algorithm>
#include <string>

namespace leak::analyzer {

namespace {

constexpr size_t kRows = 5;
constexpr size_t kEighths = 8;
constexpr size_t kLabel = 12;

std::string_view block(size_t eighths)
{
    constexpr std::string_view blocks[] = {" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
    return blocks[std::min(eighths, kEighths)];
}

std::string padded(std::string text, size_t width)
{
    return std::string(text.size() < width ? width - text.size() : 0, ' ') + text;
}

// What a curve is in every column, as a row of eighths of the highest, and how many rows it gets.
void write_curve(std::ostream& out, const std::string& title, const std::vector<uint64_t>& values,
                 const std::string& highest_words, const TextStyle& style, size_t rows)
{
    const uint64_t highest = std::ranges::max(values);
    out << '\n' << style.paint.bold(title) << '\n';
    for (size_t row = rows; row-- > 0;) {
        out << padded(row + 1 == rows ? highest_words : row == 0 ? "0" : "", kLabel) << " ";
        for (const uint64_t value : values) {
            const double share = highest == 0 ? 0 : static_cast<double>(value) / static_cast<double>(highest);
            const auto eighths = static_cast<size_t>(share * static_cast<double>(rows * kEighths) + 0.5);
            out << block(eighths > row * kEighths ? eighths - row * kEighths : 0);
        }
        out << '\n';
    }
}

void write_axis(std::ostream& out, const Timeline& timeline, size_t columns, const TextStyle& style)
{
    const std::string begin = "start";
    const std::string middle = time_words(timeline.end_ns / 2);
    const std::string end = time_words(timeline.end_ns);
    std::string axis(columns, ' ');
    axis.replace(0, begin.size(), begin);
    axis.replace(columns / 2, middle.size(), middle);
    axis.resize(columns - std::min(columns, end.size()));
    out << std::string(kLabel + 1, ' ') << style.paint.dim(axis + end) << '\n';
}

template <typename Value> std::vector<uint64_t> columns_of(const std::vector<HistorySample>& samples,
                                                           const std::vector<int64_t>& moments, Value value)
{
    std::vector<uint64_t> values;
    for (const int64_t at_ns : moments) values.push_back(value(state_at(samples, at_ns)));
    return values;
}

// Of a figure of the kernel's or the allocator's; empty when it was never asked for.
std::vector<uint64_t> columns_of(const std::vector<ProcessSample>& samples, const std::vector<int64_t>& moments,
                                 std::optional<uint64_t> ProcessSample::* figure)
{
    if (std::ranges::none_of(samples, [&](const ProcessSample& sample) { return (sample.*figure).has_value(); }))
        return {};
    std::vector<uint64_t> values;
    auto next = samples.begin();
    uint64_t value = 0;
    for (const int64_t at_ns : moments) {
        for (; next != samples.end() && next->at_ns <= at_ns; ++next) value = ((*next).*figure).value_or(value);
        values.push_back(value);
    }
    return values;
}

void write_events(std::ostream& out, const Timeline& timeline, const std::vector<int64_t>& moments,
                  const TextStyle& style)
{
    std::vector<uint64_t> events =
        columns_of(timeline.heap, moments, [](const HistorySample& sample) { return sample.events; });
    for (size_t i = events.size(); i-- > 1;) events[i] -= events[i - 1];
    const double column_s = static_cast<double>(timeline.end_ns) / 1e9 / static_cast<double>(moments.size());
    const double highest = column_s == 0 ? 0 : static_cast<double>(std::ranges::max(events)) / column_s;
    write_curve(out, "events a second", events, count_words(static_cast<uint64_t>(highest)), style, 3);
}

// What the program did in every column, and where its marks are.
void write_phases(std::ostream& out, const Timeline& timeline, const std::vector<int64_t>& moments,
                  const TextStyle& style)
{
    constexpr std::string_view shades[] = {"▒", "█", "░", "×"}; // as PhaseKind
    std::string strip;
    for (const int64_t at_ns : moments) {
        const auto phase = std::ranges::find_if(timeline.phases, [&](const Phase& one) { return at_ns <= one.to_ns; });
        const bool is_in = phase != timeline.phases.end() && at_ns > phase->from_ns;
        strip += is_in ? shades[static_cast<size_t>(phase->kind)] : " ";
    }
    out << padded("phases", kLabel) << ' ' << strip << "  " << style.paint.dim("█ load  ░ idle  ▒ start-up  × exit")
        << '\n';
    if (timeline.info.marks.empty()) return;
    std::string places(moments.size(), ' ');
    for (const Mark& mark : timeline.info.marks) {
        const auto column = std::ranges::lower_bound(moments, mark.at_ns);
        if (column != moments.end()) places[static_cast<size_t>(column - moments.begin())] = '^';
    }
    out << padded("marks", kLabel) << ' ' << places << '\n';
}

void write_stacks(std::ostream& out, const Timeline& timeline, const std::vector<int64_t>& moments,
                  const TextStyle& style)
{
    if (timeline.stacks.empty()) return;
    out << '\n'
        << style.paint.bold("STACKS that held most at once") << "  "
        << style.paint.dim(count_words(timeline.stacks.size()) + " of " +
                           plural(timeline.all_stacks, "stack", "stacks"))
        << '\n';
    StackStyle brief = stack_style(style, timeline.info);
    brief.max_lines = 3;
    brief.indent = std::string(kLabel + 1, ' ');
    for (const StackCurve& curve : timeline.stacks) {
        const auto values =
            columns_of(curve.samples, moments, [](const HistorySample& sample) { return sample.live_bytes; });
        const uint64_t highest = std::max<uint64_t>(curve.peak_bytes, 1);
        out << padded(bytes_words(curve.peak_bytes), kLabel) << ' ';
        for (const uint64_t value : values)
            out << block(value == 0 ? 0 : std::max<size_t>(1, (value * kEighths + highest / 2) / highest));
        out << '\n';
        write_stack(out, curve.frames, brief);
    }
}

} // namespace

void write_timeline_text(std::ostream& out, const Timeline& timeline, const TextStyle& style, size_t columns)
{
    const std::vector<int64_t> moments = grid(timeline, columns);
    out << run_words(timeline.info) << '\n';
    const auto draw = [&](const std::string& title, const std::vector<uint64_t>& values) {
        if (values.empty() || std::ranges::max(values) == 0) return;
        write_curve(out, title, values, bytes_words(std::ranges::max(values)), style, kRows);
    };
    const auto live = [](const HistorySample& sample) { return sample.live_bytes; };
    draw("program holds, heap", columns_of(timeline.heap, moments, live));
    draw("program holds, mapped", columns_of(timeline.mapped, moments, live));
    draw("allocator: free in its arenas", columns_of(timeline.memory, moments, &ProcessSample::free_bytes));
    draw("kernel charges, RSS", columns_of(timeline.memory, moments, &ProcessSample::rss_bytes));
    write_events(out, timeline, moments, style);
    write_axis(out, timeline, columns, style);
    write_phases(out, timeline, moments, style);
    write_stacks(out, timeline, moments, style);
    for (const Mark& mark : timeline.info.marks)
        out << style.paint.dim("  mark \"" + mark.text + "\" at " + time_words(mark.at_ns)) << '\n';
}

} // namespace leak::analyzer
