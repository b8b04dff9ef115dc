#include "analyzer/render/dump_text.hpp"

#include "analyzer/render/stack_text.hpp"
#include "analyzer/render/words.hpp"
#include "analyzer/report/frame_kind.hpp"

namespace leak::analyzer {
namespace {

// Alignment of an allocation in bytes, or protection and kind of a mapping: "rw-", "r--s" (shared), "r--f" (of a file).
std::string detail(const TraceEvent& event)
{
    if (format::is_heap_allocation(event.kind)) {
        return event.extra == 0 || event.extra > 63 ? "-" : std::to_string(uint64_t{1} << event.extra);
    }
    if (!format::is_mapping(event.kind)) {
        return "-";
    }
    std::string text = (event.extra & 1) != 0 ? "r" : "-";
    text += (event.extra & 2) != 0 ? "w" : "-";
    text += (event.extra & 4) != 0 ? "x" : "-";
    text += (event.extra & format::kMapShared) != 0 ? "s" : "";
    text += (event.extra & format::kMapFile) != 0 ? "f" : "";
    return text;
}

std::string frame_text(const Frame& frame)
{
    std::string text = function_text(frame, true);
    if (!frame.file.empty()) {
        text += " (" + std::string(base_name(frame.file)) + ":" + std::to_string(frame.line) + ")";
    }
    return text;
}

} // namespace

void DumpWriter::write_heading()
{
    out_ << "#time_ns\ttid\tkind\taddress\tsize\tdetail\tstack\n";
}

const std::string& DumpWriter::stack_text(StackId stack)
{
    const auto [entry, added] = stack_texts_.try_emplace(stack);
    if (added) {
        for (const Frame& frame : symbolizer_->symbolize(stacks_.frames(stack))) {
            entry->second += (entry->second.empty() ? "" : " < ") + frame_text(frame);
        }
    }
    return entry->second;
}

void DumpWriter::write(const TraceEvent& event)
{
    const Thread* thread = find_thread(trace_.threads, event.thread);
    const uint32_t tid = thread == nullptr ? 0 : thread->tid;
    out_ << event.at_ns << '\t' << tid << '\t' << name_of(event.kind) << '\t' << hex_words(event.address) << '\t';
    if (format::has_size(event.kind)) {
        out_ << event.size;
    } else {
        out_ << '-';
    }
    out_ << '\t' << detail(event) << '\t';
    if (!format::has_stack(event.kind)) {
        out_ << '-';
    } else if (symbolizer_ == nullptr) {
        out_ << event.stack.value;
    } else {
        out_ << stack_text(event.stack);
    }
    out_ << (event.truncated ? " ...\n" : "\n");
}

} // namespace leak::analyzer
