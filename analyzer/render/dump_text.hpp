// `leakan dump`: one event a line, in fields separated by tabs. leakan(1) documents the fields; they are stable.
//
// One thread.
#pragma once

#include "analyzer/replay/event_merge.hpp"
#include "analyzer/symbolize/symbolizer.hpp"

#include <ostream>
#include <string>
#include <unordered_map>

namespace leak::analyzer {

class DumpWriter {
public:
    // `symbolizer` may be null: stacks are printed as numbers.
    DumpWriter(std::ostream& out, const TraceContents& trace, const StackTable& stacks, Symbolizer* symbolizer)
        : out_(out), trace_(trace), stacks_(stacks), symbolizer_(symbolizer)
    {
    }

    void write_heading();
    void write(const TraceEvent& event);

private:
    const std::string& stack_text(StackId stack);

    std::ostream& out_;
    const TraceContents& trace_;
    const StackTable& stacks_;
    Symbolizer* symbolizer_;
    std::unordered_map<StackId, std::string> stack_texts_;
};

} // namespace leak::analyzer
