// The copy of the process that writes a snapshot: made by clone() with memory of its own, it reads that memory as it
// was at the moment, and writes it into slots that it is given.
//
// Where the host's only thread waits for it nothing of the host's can change meanwhile, and the memory is the host's
// own: no page tables need to be copied. Then it is a process only to have descriptors, signals and faults of its own.
//
// It has one thread, on a stack of ours, and all signals blocked; it takes no lock, calls no libc but memcpy and its
// like, and writes to nothing that it shares with the host but the mailbox, the slots and the list of our own memory.
// When the host is gone, so is it.
#pragma once

#include "format/snapshot.hpp"
#include "preload/snapshot/mailbox.hpp"
#include "preload/snapshot/page_contents.hpp"

#include <cstdint>

namespace leak::preload {

// What the copy is to do. Written before it is made.
struct CopyOrder {
    Mailbox* mailbox;
    uint64_t number;   // of the snapshot
    uint64_t begin_ns; // CLOCK_MONOTONIC
    uint64_t stamp;    // of the trace's clock
    const PageContents* last_contents;
    PageContents* contents; // where the copy says what pages hold
    uint32_t parent;        // pid of the process
    uint32_t most_slots;
    format::SnapshotReason reason;
    int descriptor; // of the trace, where the table of descriptors is our own; else -1
    bool shares_memory;
    // Of the thread that makes the copy, if it is the host's; tid 0 if not.
    uint32_t tid;
    uint64_t stack_pointer;
    uint64_t registers[6]; // that functions keep for their callers
};

// The copy's whole life. Does not return.
[[noreturn]] void live_as_copy(const CopyOrder& order) noexcept;

} // namespace leak::preload
