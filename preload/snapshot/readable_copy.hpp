// Copying memory that may turn out not to be readable: where protection keys forbid it, on broken memory.
//
// By loads. process_vm_readv() pins pages, for which the kernel first makes copies of those that a fork has left to two
// processes (Linux 5.19): three times the time, and as much memory as is read.
//
// For a process of ours, in which nobody else handles SIGSEGV and SIGBUS.
#pragma once

#include <cstdint>

namespace leak::preload {

// Takes both signals over; before the first copy.
void begin_readable_copies() noexcept;

// The number of bytes that could be copied, from the first on.
[[nodiscard]] uint64_t copy_readable(void* to, const void* from, uint64_t bytes) noexcept;

} // namespace leak::preload
