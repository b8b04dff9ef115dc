// Whether the traced process still runs on this machine. Reads /proc; any thread.
#pragma once

#include "format/layout.hpp"

namespace leak::analyzer {

// The trace was written since this machine was last started: its clocks are our clocks.
[[nodiscard]] bool written_on_this_boot(const format::FileHeader& header);

// The process of the trace exists and is no zombie. False too where it can't be seen (another PID namespace).
[[nodiscard]] bool still_running(const format::FileHeader& header);

} // namespace leak::analyzer
