// The registers of threads of another process, by ptrace(2): the copy asks for those of the host's threads.
//
// Each thread is stopped until its registers are read, as a rule for some ten microseconds, which may make a system
// call that waits return EINTR, as a debugger does (epoll_wait(2) and others: signal(7), interruption by stop signals).
// So only where LEAK_REGISTERS=all asks for it.
#pragma once

#include "preload/mapped_array.hpp"

#include <cstddef>
#include <cstdint>

namespace leak::preload {

struct ThreadRegisters {
    static constexpr size_t kCount = 16; // rax to r15
    enum class State : uint32_t {
        unknown, // the system does not permit it, somebody else traces the thread, or it has ended
        asked,   // it is about to stop
        known,
    };
    uint32_t tid;
    State state;
    uint64_t values[kCount];
};

// Of the threads whose tids are given. Takes a second at most; how many have not stopped by then, because they wait for
// a device or for the child of a vfork().
[[nodiscard]] size_t read_registers(MappedArray<ThreadRegisters>& threads) noexcept;

// Those of them that have stopped meanwhile go on; how many have not. To be called often: who stops waits for it.
[[nodiscard]] size_t release_late(MappedArray<ThreadRegisters>& threads) noexcept;

} // namespace leak::preload
