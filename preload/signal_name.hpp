// Signals as a user writes them.
#pragma once

#include <string_view>

namespace leak::preload {

// USR2, SIGUSR2, 12, RTMIN+3 or RTMAX-1 → the signal's number; 0: not one that can be caught without harm, which leaves
// out KILL and STOP, what faults raise (SEGV, BUS, ILL, FPE, TRAP, ABRT), and the two that the C library keeps.
[[nodiscard]] int signal_named(std::string_view name) noexcept;

} // namespace leak::preload
