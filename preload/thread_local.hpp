// What libleak.so keeps in thread-local storage: plain data in the initial-exec block, so that a hook reaches it by one
// instruction, it needs no constructor, and it is still there when the thread's last destructor has run.
//
// Written by its own thread and by signal handlers on it. All zero is the state of a new thread.
#pragma once

#include "format/event.hpp"

#include <cstdint>

namespace leak::preload {

struct ThreadState;

// Addresses of the host's blocks are kept complemented here: this lies among the host's thread-local data, and a
// snapshot, which looks for pointers there, must not find ours.
[[nodiscard]] inline uint64_t hidden(const void* block) noexcept
{
    return ~reinterpret_cast<uint64_t>(block);
}

struct ThreadLocal {
    ThreadState* state;  // nullptr until the thread's first event
    uint32_t level;      // events being recorded on this thread: above 0 only inside our own code
    uint32_t in_tracer;  // above 0 while our own slow paths call libc: what they allocate is not the host's doing
    uint32_t locks_held; // of ours

    bool beginning;     // this thread is creating the trace
    bool is_own_thread; // one of ours (own_thread.hpp), which never runs a hook
    bool is_writer;     // the writer

    uint64_t recorded; // hidden(): the block of the thread's last recorded allocation
    format::EventKind recorded_kind;
    int64_t sampling_left;    // LEAK_SAMPLE: bytes to the next sample
    uint64_t sampling_random; // 0: not begun
    uint64_t releasing;       // hidden(): the block of which the release is recorded and now forwarded
};

extern __thread ThreadLocal t_local __attribute__((tls_model("initial-exec")));

} // namespace leak::preload
