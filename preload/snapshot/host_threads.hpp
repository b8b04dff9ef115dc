// Where the stacks of the host's threads are at the moment of a snapshot.
//
// For the thread that makes the copy, before and after it does. A thread that is blocked in a system call says its
// stack pointer in /proc; that holds for the copy if the scheduler has not run it between both looks. Which thread is
// running at the moment, or came in between, is one without a known stack pointer: all of its stack counts.
#pragma once

#include "preload/snapshot/mailbox.hpp"

namespace leak::preload {

// Fills in the threads, but those of ours. copier_tid, copier_stack: the calling thread, if it is the host's; 0.
void look_at_host_threads(Mailbox& mailbox, uint32_t copier_tid, uint64_t copier_stack) noexcept;

// After the copy was made: forgets the stack pointers of threads that have run since.
void look_again_at_host_threads(Mailbox& mailbox) noexcept;

} // namespace leak::preload
