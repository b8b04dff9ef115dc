// Threads of ours in the host: not glibc's, but made by clone().
//
// The host neither counts nor joins them, and all their signals are blocked. They run no libc code that uses
// thread-local storage but what the start of a thread control block has (errno and the rest of it are not there). In a
// forked child they are gone.
#pragma once

#include <cstdint>

namespace leak::preload {

// Starts a thread that runs main(), which must not return. is_writer: ThreadLocal::is_writer. False: none could be
// made.
[[nodiscard]] bool start_own_thread(void (*main)(), bool is_writer) noexcept;

// For such a thread, first: its name and its place among the others.
void settle_own_thread() noexcept;

// Whether a thread of this process is one of ours that has settled.
[[nodiscard]] bool is_own_thread(uint32_t tid) noexcept;
// In a forked child.
void forget_own_threads() noexcept;

} // namespace leak::preload
