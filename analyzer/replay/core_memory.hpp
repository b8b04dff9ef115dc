// A core dump of the traced process in place of the trace's snapshot.
//
// One thread. Memory: as decode/core_image.hpp says.
#pragma once

#include "analyzer/decode/core_file.hpp"
#include "analyzer/decode/trace_file.hpp"
#include "analyzer/replay/replay.hpp"

#include <functional>
#include <string>
#include <vector>

namespace leak::analyzer {

class CoreMemory {
public:
    // Opens the core, and makes sure that it is one of the trace's process. Throws UserError. The trace must outlive
    // this.
    CoreMemory(const CoreSource& source, const TraceContents& trace);

    // The moment of the core; nothing of its memory yet.
    [[nodiscard]] MemoryView begin() const;

    // When what was live then is in it: adds the memory. end_ns: when the trace ends.
    void read(MemoryView& memory, int64_t end_ns, const std::function<void(double)>& on_progress) const;

private:
    void find_moment(const CoreSource& source);
    void compare_process() const;
    void compare_modules();

    const TraceContents& trace_;
    CoreFile core_;
    int64_t at_ns_ = 0;
    CoreFacts facts_;
};

} // namespace leak::analyzer
