#include "analyzer/render/watch_text.hpp"

#include "analyzer/render/run_words.hpp"
#include "analyzer/render/stack_text.hpp"
#include "analyzer/render/words.hpp"

#include <algorithm>
#include <cmath>
#include <sstream>

namespace leak::analyzer {

namespace {

constexpr size_t kHeadLines = 5; // with the heading of the list
constexpr size_t kMostFrames = 3;
constexpr size_t kWantedStacks = 5; // before they get more frames
constexpr size_t kPlainStacks = 10;

[[nodiscard]] size_t frame_lines(size_t height)
{
    if (height == 0) return kMostFrames;
    for (size_t lines = kMostFrames; lines > 1; --lines)
        if (height >= kHeadLines + kWantedStacks * (1 + lines)) return lines;
    return 1;
}

// A name must not command the terminal.
[[nodiscard]] std::string printable(std::string text)
{
    for (char& c : text)
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
    return text;
}

[[nodiscard]] std::vector<Frame> printable(std::vector<Frame> frames)
{
    for (Frame& frame : frames) {
        frame.function = printable(std::move(frame.function));
        frame.file = printable(std::move(frame.file));
        frame.module = printable(std::move(frame.module));
    }
    return frames;
}

[[nodiscard]] uint64_t per_second(uint64_t count, int64_t over_ns)
{
    if (over_ns <= 0) return 0;
    return static_cast<uint64_t>(std::llround(static_cast<double>(count) * 1e9 / static_cast<double>(over_ns)));
}

[[nodiscard]] std::string_view name_of(WatchSort sort)
{
    constexpr std::string_view names[] = {"growth", "bytes", "blocks"};
    return names[static_cast<size_t>(sort)];
}

[[nodiscard]] std::string holds_words(const WatchView& view)
{
    std::string text = "live " + bytes_words(view.live_bytes) + " in " + plural(view.live_blocks, "block", "blocks") +
                       ", peak " + bytes_words(view.peak_bytes);
    text += ", gaps " + (view.info.gap_events == 0 ? "none" : plural(view.info.gap_events, "event", "events"));
    if (view.info.unlisted.blocks > 0)
        text += ", " + plural(view.info.unlisted.blocks, "block", "blocks") + " known by stack alone";
    if (view.info.sample_bytes > 0) text += ", estimated from samples";
    return text;
}

[[nodiscard]] std::string rate_words(const WatchView& view)
{
    const WatchRates& rates = view.rates;
    return count_words(per_second(rates.allocations, rates.over_ns)) + " allocations/s, " +
           count_words(per_second(rates.releases, rates.over_ns)) + " releases/s, " +
           bytes_words(per_second(rates.allocated_bytes, rates.over_ns)) + "/s allocated" +
           (view.is_first ? ", since the start" : ", in the last " + time_words(rates.over_ns));
}

[[nodiscard]] std::string list_heading(const WatchView& view, size_t shown, const WatchStyle& style)
{
    std::string text = style.paint.bold("STACKS by " + std::string(name_of(view.sort))) + "  " + count_words(shown) +
                       " of " + count_words(std::max(view.stacks, shown)) + ", growth over " +
                       time_words(view.window_ns);
    if (style.keys) text += "  " + style.paint.dim("q quits, s sorts");
    return text;
}

void add_stack(std::vector<std::string>& lines, const WatchStack& stack, const WatchView& view, const WatchStyle& style)
{
    const auto rate = static_cast<int64_t>(std::llround(stack.growth_per_second));
    lines.push_back("  " + style.paint.bold(signed_bytes_words(stack.growth)) + ", of late " +
                    signed_bytes_words(rate) + "/s  " + bytes_words(stack.bytes) + " in " +
                    plural(stack.blocks, "block", "blocks"));
    std::ostringstream text;
    write_stack(text, printable(stack.frames),
                {.paint = style.paint,
                 .exe = view.info.exe,
                 .working_directory = view.info.working_directory,
                 .max_lines = frame_lines(style.height),
                 .tell_rest = false});
    std::istringstream in(std::move(text).str());
    for (std::string line; std::getline(in, line);) lines.push_back(line);
}

} // namespace

size_t watch_stacks(size_t height)
{
    if (height == 0) return kPlainStacks;
    return height <= kHeadLines ? 0 : (height - kHeadLines) / (1 + frame_lines(height));
}

std::vector<std::string> watch_lines(const WatchView& view, const WatchStyle& style)
{
    const size_t shown = std::min(view.top.size(), watch_stacks(style.height));
    TraceInfo info = view.info;
    info.exe = printable(std::move(info.exe));
    info.exec_path = printable(std::move(info.exec_path));
    std::vector<std::string> lines = {style.paint.bold(run_words(info)), holds_words(view), rate_words(view), "",
                                      list_heading(view, shown, style)};
    for (size_t i = 0; i < shown; ++i) add_stack(lines, view.top[i], view, style);
    if (style.height != 0 && lines.size() > style.height) lines.resize(style.height);
    if (style.width != 0)
        for (std::string& line : lines) line = cut_to_width(line, style.width);
    return lines;
}

std::string cut_to_width(std::string_view text, size_t width)
{
    std::string cut;
    size_t columns = 0;
    bool is_colored = false;
    for (size_t at = 0; at < text.size();) {
        size_t end = at + 1;
        if (text[at] == '\033') {
            end = std::min(text.find('m', at), text.size() - 1) + 1;
            is_colored = !text.substr(at, end - at).ends_with("[0m");
        } else {
            if (columns++ == width) break;
            while (end < text.size() && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) ++end;
        }
        cut += text.substr(at, end - at);
        at = end;
    }
    if (is_colored && cut.size() < text.size()) cut += "\033[0m";
    return cut;
}

} // namespace leak::analyzer
