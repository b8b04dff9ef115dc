// Samples what the kernel charges the process and what its allocator holds, now and then, into a slot of the file.
//
// A thread of its own, started with the writer: what it asks may take long (a large address space) or wait for locks of
// the host's allocator, and nothing waits for it. In a process of one thread glibc's malloc takes no locks; there the
// allocator is asked on that thread, when it comes by. Without a writer thread (LEAK_WRITER=inline) host threads do all
// of it. What the kernel says is asked on the sampler's thread, up to a tenth of a second before the sample, and that
// thread has the slot made that it goes to. What is dear to ask costs a time that is measured, and is asked again so
// late that it stays below a hundredth of the time.
#pragma once

#include "format/layout.hpp"
#include "preload/lock.hpp"
#include "preload/memory_limits.hpp"

#include <atomic>
#include <cstdint>

namespace leak::preload {

class Sampler {
public:
    // On the writer thread.
    void start() noexcept;

    // On a host thread that holds no lock and is in no signal handler's event.
    [[nodiscard]] bool has_thread() const noexcept { return has_thread_.load(std::memory_order_relaxed); }

    void pass_by() noexcept
    {
        if (wanted_.load(std::memory_order_relaxed) || is_due()) take_on_host();
    }
    // The process is about to end. can_ask_allocator: nobody can be inside it.
    void take_last(bool can_ask_allocator) noexcept;

    // In a forked child; reset() when no hook is using it.
    void unlock() noexcept { lock_.reset(); }
    void reset() noexcept;

private:
    enum class AllocatorState : uint32_t { unknown, glibc, other };

    static void main() noexcept;
    void run() noexcept;
    void sample_on_thread() noexcept;
    void rest() noexcept;
    [[nodiscard]] bool is_due() const noexcept;
    void take_on_host() noexcept;
    void take(bool ask_allocator, bool is_last = false) noexcept;
    [[nodiscard]] bool has_room() noexcept;
    void append(format::SampleRecord& sample) noexcept;
    void join_pairs() noexcept;
    void prepare() noexcept;
    void make_room() noexcept;
    void ask_usage() noexcept;
    void read_rollup_if_due() noexcept;
    void add_rollup(format::SampleRecord& sample, bool is_last) noexcept;
    void add_allocator(format::SampleRecord& sample) noexcept;
    void add_limits(format::SampleRecord& sample) const noexcept;
    [[nodiscard]] bool allocator_is_glibc() noexcept;
    [[nodiscard]] format::SampleRecord* samples(uint32_t half) const noexcept;

    Lock lock_; // of what follows
    format::SamplesHeader* header_ = nullptr;
    uint32_t half_ = 0;  // as the header says; the file may be written by others
    uint32_t count_ = 0; // in it
    struct Rollup {
        uint64_t pss_bytes;
        uint64_t swap_bytes;
        uint64_t anonymous_bytes;
    };
    // For the next sample, and when it was asked for; 0: there is none.
    format::SampleRecord usage_{}; // what is resident, and faults
    uint64_t usage_ns_ = 0;
    Rollup rollup_{};
    uint64_t rollup_ns_ = 0;
    uint64_t next_rollup_ns_ = 0;
    uint64_t next_allocator_ns_ = 0;
    AllocatorState allocator_ = AllocatorState::unknown;
    MemoryLimits limits_;
    uint32_t rounds_ = 0; // of asking for samples

    std::atomic<uint64_t> interval_ns_{0};
    std::atomic<uint64_t> next_ns_{0}; // CLOCK_MONOTONIC
    std::atomic<bool> has_thread_{false};
    std::atomic<bool> wanted_{false}; // the thread wants the host's only thread to take one
};

} // namespace leak::preload
