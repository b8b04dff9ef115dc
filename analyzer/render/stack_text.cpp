#include "analyzer/render/stack_text.hpp"

#include "analyzer/render/words.hpp"
#include "analyzer/report/frame_kind.hpp"

#include <algorithm>
#include <span>

namespace leak::analyzer {
namespace {

constexpr size_t kNameLength = 60;  // longer names lose template arguments
constexpr size_t kPlaceLength = 44; // longer paths lose leading directories
constexpr size_t kMaxColumn = 48;   // the places start there at the latest
constexpr size_t kLibraryFramesOnly = 6;
constexpr size_t kLongRun = 8; // of library frames

struct Line {
    std::string function;
    std::string place;
    bool library = false;
};

// The name's "<" opens template arguments, not operator<, operator<<, operator<= or operator<=>.
bool is_operator_name(std::string_view name, size_t at)
{
    constexpr std::string_view word = "operator";
    const std::string_view before = name.substr(0, at);
    return before.ends_with(word) || before.ends_with("operator<") || before.ends_with("operator-") ||
           before.ends_with("operator>") || before.ends_with("operator<=");
}

std::string elide_below(std::string_view name, int kept_levels)
{
    std::string text;
    int depth = 0;
    for (size_t at = 0; at < name.size(); ++at) {
        const bool bracket = (name[at] == '<' || name[at] == '>') && !is_operator_name(name, at);
        const bool opens = bracket && name[at] == '<';
        const bool closes = bracket && name[at] == '>' && depth > 0;
        depth -= closes ? 1 : 0;
        if (depth <= kept_levels) {
            text += name[at];
            if (opens && depth == kept_levels && name.substr(at + 1, 1) != ">") {
                text += "...";
            }
        }
        depth += opens ? 1 : 0;
    }
    return text;
}

std::string shortened_path(std::string_view path, const StackStyle& style)
{
    if (style.full) {
        return std::string(path);
    }
    if (!style.working_directory.empty() && path.size() > style.working_directory.size() + 1 &&
        path.starts_with(style.working_directory) && path[style.working_directory.size()] == '/') {
        path.remove_prefix(style.working_directory.size() + 1);
    }
    if (path.size() <= kPlaceLength) {
        return std::string(path);
    }
    for (size_t slash = path.find('/', 1); slash != std::string_view::npos; slash = path.find('/', 1)) {
        path.remove_prefix(slash);
        if (path.size() <= kPlaceLength) {
            break;
        }
    }
    return "..." + std::string(path);
}

Line line_of(const Frame& frame, const StackStyle& style)
{
    return {function_text(frame, style.full), place_text(frame, style) + (frame.inlined ? " (inlined)" : ""),
            is_library_frame(frame, style.exe)};
}

// One line for a run of library frames: the outermost of them is what the program called.
Line fold(std::span<const Frame> run, const StackStyle& style)
{
    Line line = line_of(run.back(), style);
    line.function = "via " + line.function;
    line.place = std::string(base_name(run.back().module == style.exe ? run.back().file : run.back().module));
    if (run.size() > 1) {
        line.place += (line.place.empty() ? "(" : " (") + plural(run.size(), "frame", "frames") + ")";
    }
    line.library = true;
    return line;
}

std::vector<Line> all_lines(const std::vector<Frame>& frames, const StackStyle& style, size_t limit)
{
    std::vector<Line> lines;
    for (const Frame& frame : frames) {
        if (lines.size() == limit) {
            if (style.tell_rest)
                lines.push_back({"... " + plural(frames.size() - limit, "frame", "frames") + " more", "", true});
            break;
        }
        lines.push_back(line_of(frame, style));
    }
    return lines;
}

std::vector<Line> folded_lines(const std::vector<Frame>& stack, const StackStyle& style)
{
    const std::span<const Frame> frames = std::span(stack).first(frames_above_entry(stack));
    std::vector<Line> lines;
    for (auto at = frames.begin(); at != frames.end();) {
        if (lines.size() == style.max_lines) {
            const auto rest = static_cast<uint64_t>(frames.end() - at);
            if (style.tell_rest)
                lines.push_back({"... " + plural(rest, "frame", "frames") + " more (--full)", "", true});
            break;
        }
        const auto own =
            std::find_if_not(at, frames.end(), [&](const Frame& frame) { return is_library_frame(frame, style.exe); });
        if (own != at) {
            std::span<const Frame> run{at, own};
            // Where a library did much on its own, that "the program called it" says too little: who allocated, too.
            const auto worker = std::find_if_not(at, own, is_runtime_frame);
            if (at == frames.begin() && run.size() > kLongRun && worker != own) {
                lines.push_back(line_of(*worker, style));
                run = run.subspan(static_cast<size_t>(worker - at) + 1);
            }
            if (!run.empty()) {
                lines.push_back(fold(run, style));
            }
            at = own;
        } else {
            lines.push_back(line_of(*at, style));
            ++at;
        }
    }
    return lines;
}

} // namespace

std::string elide_template_arguments(std::string_view name, size_t length)
{
    std::string text(name);
    for (int levels = 2; levels >= 0 && text.size() > length; --levels) {
        text = elide_below(name, levels);
    }
    return text;
}

std::string function_text(const Frame& frame, bool full)
{
    if (!frame.function.empty()) {
        return full ? frame.function : elide_template_arguments(frame.function, kNameLength);
    }
    const std::string_view module = base_name(frame.module);
    if (frame.offset == 0) {
        return std::string(module.empty() ? "(unknown)" : module);
    }
    return module.empty() ? hex_words(frame.offset) : std::string(module) + "+" + hex_words(frame.offset);
}

std::string place_text(const Frame& frame, const StackStyle& style)
{
    if (frame.file.empty()) {
        // "ls+0x5f21" has said it; a named function of a library says which.
        return frame.function.empty() ? "" : std::string(style.full ? frame.module : base_name(frame.module));
    }
    const std::string path = shortened_path(frame.file, style);
    return frame.line == 0 ? path : path + ":" + std::to_string(frame.line);
}

void write_stack(std::ostream& out, const std::vector<Frame>& frames, const StackStyle& style)
{
    const bool any_own =
        std::ranges::any_of(frames, [&](const Frame& frame) { return !is_library_frame(frame, style.exe); });
    const std::vector<Line> lines = style.full ? all_lines(frames, style, frames.size())
                                    : any_own  ? folded_lines(frames, style)
                                              : all_lines(frames, style, std::min(style.max_lines, kLibraryFramesOnly));
    if (lines.empty()) {
        out << style.indent << style.paint.dim("(no stack)") << '\n';
    }
    size_t column = 0;
    for (const Line& line : lines) {
        column = std::max(column, std::min(line.function.size(), kMaxColumn));
    }
    for (const Line& line : lines) {
        std::string text = line.function;
        if (!line.place.empty()) {
            text += std::string(column - std::min(column, text.size()) + 2, ' ') + line.place;
        }
        out << style.indent << (line.library ? style.paint.dim(text) : text) << '\n';
    }
}

} // namespace leak::analyzer
