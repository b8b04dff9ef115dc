#include "analyzer/render/info_text.hpp"

#include "analyzer/render/run_words.hpp"
#include "analyzer/render/words.hpp"

#include <algorithm>
#include <array>
#include <ctime>

namespace leak::analyzer {
namespace {

constexpr size_t kLabelColumn = 12;
constexpr size_t kSlotsPerLine = 64;
constexpr size_t kThreadsShown = 32;

void write_line(std::ostream& out, std::string label, const std::string& text)
{
    label.resize(std::max(label.size() + 1, kLabelColumn), ' ');
    out << "  " << label << text << '\n';
}

std::string date_words(uint64_t unix_ns)
{
    const auto seconds = static_cast<time_t>(unix_ns / 1'000'000'000);
    tm local{};
    std::array<char, 64> text{};
    if (localtime_r(&seconds, &local) == nullptr ||
        strftime(text.data(), text.size(), "%Y-%m-%d %H:%M:%S %z", &local) == 0) {
        return std::to_string(seconds);
    }
    return text.data();
}

std::string unwinding_words(const TraceInfo& info)
{
    std::string text = plural(info.libunwind_stacks, "stack", "stacks") + " by libunwind";
    if (info.verified_stacks > 0)
        text += ", " + plural(info.verified_stacks, "stack", "stacks") + " compared with libunwind's, " +
                plural(info.stack_differences, "difference", "differences");
    return text;
}

void write_stack(std::ostream& out, const char* name, const std::vector<Frame>& stack)
{
    out << "    " << name << '\n';
    for (const Frame& frame : stack)
        out << "      " << (frame.function.empty() ? "??" : frame.function) << "  " << frame.module << "+"
            << hex_words(frame.offset) << '\n';
}

void write_differences(std::ostream& out, const TraceFacts& facts, const Paint& paint)
{
    if (facts.info.stack_differences == 0) return;
    out << '\n' << paint.bold("STACKS THAT DIFFER") << "  " << count_words(facts.info.stack_differences) << '\n';
    for (const DifferenceFacts& one : facts.differences) {
        out << "  at " << time_words(one.at_ns) << '\n';
        write_stack(out, "libleak's walk", one.walked);
        write_stack(out, "libunwind", one.libunwind);
    }
}

std::string snapshot_words(const TraceInfo& info)
{
    const std::string failure(words_of(info.snapshot_failure));
    const std::string none = failure.empty() ? "none" : "none: " + failure;
    return info.snapshot_ns
               ? "number " + std::to_string(info.snapshot_number) + ", at " + time_words(*info.snapshot_ns) +
                     (failure.empty() ? "" : "; the last one failed: " + failure)
               : none;
}

std::string writer_words(const TraceInfo& info)
{
    const std::string time = time_words(static_cast<int64_t>(info.writer_cpu_ns)) + " of CPU time";
    return info.uncompressed_events == 0
               ? time
               : time + "; " + plural(info.uncompressed_events, "event", "events") + " left uncompressed";
}

void write_process(std::ostream& out, const TraceFacts& facts)
{
    const TraceInfo& info = facts.info;
    std::string command;
    for (const std::string& argument : info.args) {
        command += (command.empty() ? "" : " ") + argument;
    }
    out << run_words(info) << "\n\n";
    write_line(out, "trace", info.path + ", " + bytes_words(info.file_bytes));
    write_line(out, "format",
               std::to_string(facts.version_major) + "." + std::to_string(facts.version_minor) + ", slots of " +
                   bytes_words(facts.slot_bytes));
    write_line(out, "ring", ring_words(info));
    write_line(out, "program", info.exe);
    write_line(out, "command", command);
    write_line(out, "directory", info.working_directory);
    write_line(out, "started", date_words(info.start_unix_ns));
    write_line(out, "parent",
               "pid " + std::to_string(info.parent_pid) +
                   (info.parent_trace_path.empty() ? "" : ", trace " + info.parent_trace_path) +
                   (info.fork_ns ? ", forked at " + time_words(*info.fork_ns) : ""));
    write_line(out, "stacks",
               plural(facts.totals.stacks, "stack", "stacks") + ", at most " + std::to_string(info.depth_limit) +
                   " frames each");
    write_line(out, "unwinding", unwinding_words(info));
    write_line(out, "snapshot", snapshot_words(info));
    write_line(out, "writer", writer_words(info));
    for (const std::string& setting : info.settings) {
        write_line(out, "setting", setting);
    }
    for (const Mark& mark : info.marks) {
        write_line(out, "mark", mark.text + " at " + time_words(mark.at_ns));
    }
}

void write_events(std::ostream& out, const TraceFacts& facts, const Paint& paint)
{
    out << '\n' << paint.bold("EVENTS") << '\n';
    for (size_t kind = 1; kind < format::kEventKindCount; ++kind) {
        if (facts.totals.events_by_kind[kind] > 0) {
            std::string name(name_of(static_cast<format::EventKind>(kind)));
            name.resize(20, ' ');
            out << "  " << name << count_words(facts.totals.events_by_kind[kind]) << '\n';
        }
    }
}

std::string symbols_words(const ModuleSymbols& symbols)
{
    if (symbols.build_id_differs && !symbols.file_found) {
        return "the file is another build";
    }
    if (!symbols.file_found) {
        return "no file";
    }
    std::string text = symbols.has_lines ? "lines" : symbols.has_symbols ? "names only" : "no symbols";
    return symbols.debug_file.empty() ? text : text + " from " + symbols.debug_file;
}

void write_modules(std::ostream& out, const TraceFacts& facts, const Paint& paint)
{
    constexpr std::string_view digits = "0123456789abcdef";
    out << '\n' << paint.bold("MODULES") << "  " << facts.modules.size() << '\n';
    for (const auto& [module, symbols] : facts.modules) {
        std::string build_id;
        for (const uint8_t byte : module.build_id) {
            build_id += digits[byte >> 4];
            build_id += digits[byte & 15];
        }
        out << "  " << module.path << '\n'
            << "      " << hex_words(module.start) << "-" << hex_words(module.end) << "  build-id "
            << (build_id.empty() ? "none" : build_id) << "  " << paint.bold(symbols_words(symbols));
        if (module.loaded_ns > 0) {
            out << "  loaded at " << time_words(module.loaded_ns);
        }
        if (module.unloaded_ns) {
            out << "  unloaded at " << time_words(*module.unloaded_ns);
        }
        out << '\n';
    }
}

void write_threads(std::ostream& out, const TraceFacts& facts, const Paint& paint)
{
    out << '\n' << paint.bold("THREADS") << "  " << facts.threads.size() << '\n';
    for (size_t i = 0; i < facts.threads.size() && i < kThreadsShown; ++i) {
        const Thread& thread = facts.threads[i];
        out << "  " << thread.tid << "  " << thread.name << "  since " << time_words(thread.started_ns) << '\n';
    }
    if (facts.threads.size() > kThreadsShown) {
        out << paint.dim("  " + count_words(facts.threads.size() - kThreadsShown) + " more in --format json") << '\n';
    }
}

char slot_letter(const SlotInfo& slot)
{
    constexpr std::string_view letters = ".SREPJCMN"; // as format::SlotKind counts
    const auto kind = static_cast<size_t>(slot.kind);
    return !slot.header_sound ? '!' : slot.other_trace ? 'x' : kind < letters.size() ? letters[kind] : '?';
}

void write_slots(std::ostream& out, const TraceFacts& facts, const Paint& paint)
{
    out << '\n'
        << paint.bold("SLOTS") << "  " << plural(facts.slots.size(), "slot", "slots") << " in use, "
        << plural(facts.unused_slots, "slot", "slots") << " taken for later\n"
        << paint.dim("  S start  R raw events  E compressed events  P code addresses  J journal  C carried  M memory  "
                     "N snapshot  "
                     ". free  ! damaged  x of another trace")
        << '\n';
    for (size_t i = 0; i < facts.slots.size(); ++i) {
        out << (i % kSlotsPerLine == 0 ? "  " : "") << slot_letter(facts.slots[i]);
        if (i % kSlotsPerLine == kSlotsPerLine - 1 || i + 1 == facts.slots.size()) {
            out << '\n';
        }
    }
}

} // namespace

void write_info_text(std::ostream& out, const TraceFacts& facts, const Paint& paint)
{
    write_process(out, facts);
    write_events(out, facts, paint);
    write_threads(out, facts, paint);
    write_modules(out, facts, paint);
    write_slots(out, facts, paint);
    write_differences(out, facts, paint);
    const std::vector<std::string> missing = missing_words(facts.info);
    out << '\n' << paint.bold("MISSING") << (missing.empty() ? "  nothing: no gaps, no damage\n" : "\n");
    for (const std::string& sentence : missing) {
        out << "  " << paint.warn(sentence) << '\n';
    }
}

} // namespace leak::analyzer
