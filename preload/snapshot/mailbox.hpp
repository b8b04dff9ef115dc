// What the process and its copy tell each other while the copy writes a snapshot: memory that both share.
//
// The copy can't be given slots of the file by its own locks, which are copies. So it asks here, and whoever serves it
// answers. Each atomic is stored by one side; what lies beside one is stored before it.
#pragma once

#include "format/layout.hpp"

#include <atomic>
#include <cstdint>

namespace leak::preload {

// A thread of the host at the moment of the copy.
struct HostThread {
    static constexpr uint32_t kArguments = 6;
    uint32_t tid;
    bool has_arguments;     // of the system call in which it is blocked
    bool is_copier;         // it is the one that made the copy
    uint64_t stack_pointer; // 0: not known
    uint64_t robust_list;   // lies in glibc's thread control block; 0: there is none
    uint64_t times_run;     // what the scheduler says of it, in short; 0: nothing
    uint64_t arguments[kArguments];
};

struct Mailbox {
    static constexpr uint32_t kMostThreads = 4096;
    static constexpr uint32_t kNoSlot = UINT32_MAX;
    enum class Outcome : uint32_t { running, whole, no_room, no_memory, broken };

    // The copy's.
    std::atomic<uint32_t> news; // a futex: counts what the copy has said
    std::atomic<uint32_t> slots_wanted;
    std::atomic<uint32_t> progress; // goes up while the copy works
    std::atomic<Outcome> outcome;
    uint64_t bytes; // of the stream
    uint32_t parts;

    // Of whoever serves it.
    std::atomic<uint32_t> slots_given; // a futex
    uint32_t slot;                     // the last one, or kNoSlot

    // Of the thread that made the copy.
    std::atomic<uint32_t> is_ready; // a futex: what follows is complete
    uint64_t pause_ns;
    uint32_t thread_count;
    bool has_all_threads; // else some could not be listed
    HostThread threads[kMostThreads];
};

} // namespace leak::preload
