// When snapshots are taken, and all of it that happens in the process itself: making the copy that writes one, giving
// it slots of the file, and making what it wrote the snapshot that holds.
//
// One at a time. The copy is made by clone() without a signal at its end, so that the host's wait() does not see it,
// on the thread at which the moment occurs, with all signals blocked; that thread is held up for the clone() alone,
// unless it is about to end the process: then it serves the copy and waits for it, and if it is the only one the copy
// shares its memory. Else the sampler's thread serves.
#pragma once

#include "format/snapshot.hpp"
#include "preload/private_stack.hpp"
#include "preload/snapshot/copy.hpp"
#include "preload/snapshot/mailbox.hpp"
#include "preload/snapshot/page_contents.hpp"

#include <atomic>
#include <cstdint>

namespace leak::preload {

class Snapshots {
public:
    // The process is about to end or to be replaced, or has set a mark. On a thread of the host, any stack; does
    // nothing inside a hook, in a vfork child, and where nothing is recorded.
    void take_here(format::SnapshotReason reason) noexcept;

    // For the sampler's thread, whenever it is awake: takes what was asked for or is due, and serves copies until they
    // are done. SIGBUS must be open.
    void work() noexcept;
    // How long that thread may sleep; and the value of the word (shared with other processes) on which it does.
    [[nodiscard]] long milliseconds_to_next() const noexcept;
    [[nodiscard]] uint32_t seen() const noexcept { return seen_; }

    // The ring has no other room: the snapshot that holds gives its slots back. Whoever extends the file. False: there
    // is none, or it is about to be replaced.
    [[nodiscard]] bool give_up_last() noexcept;

    // In a forked child: at once, and when no hook is using it.
    void leave_parent() noexcept { step_.store(Step::idle, std::memory_order_relaxed); }
    void reset() noexcept;

private:
    using Failure = format::SnapshotFailure;
    enum class Step : uint32_t {
        idle,
        begun,   // somebody is at it
        waiting, // the copy is made; the sampler's thread is to serve it
    };

    [[nodiscard]] static bool is_possible() noexcept;
    [[nodiscard]] bool enter(bool waits) noexcept;
    [[nodiscard]] bool is_last() const noexcept; // the process is about to end, and the thread waits for the copy
    [[nodiscard]] bool take_on_host(uint64_t stack_pointer) noexcept;
    void leave() noexcept;
    void hand_over() noexcept;
    [[nodiscard]] bool begin() noexcept;
    [[nodiscard]] bool prepare() noexcept;
    [[nodiscard]] long make_copy() noexcept;
    void serve() noexcept;
    [[nodiscard]] bool give_slot() noexcept;
    [[nodiscard]] bool copy_is_gone() noexcept;
    void end_copy() noexcept;
    void publish() noexcept;
    void finish(Failure failure) noexcept;
    void free_slots_but(uint64_t number) noexcept;

    std::atomic<Step> step_{Step::idle}; // a futex
    std::atomic<bool> is_ending_{false}; // the last one was taken
    // Of whoever has taken the step from idle.
    CopyOrder order_{};
    Mailbox* mailbox_ = nullptr;
    PageContents contents_;      // at this one, if another may follow
    PageContents last_contents_; // at the one that holds
    PrivateStack copy_stack_;
    PrivateStack own_stack_;
    uint32_t copy_ = 0;         // pid; 0: none
    uint32_t failed_tries_ = 0; // to give it a slot
    uint32_t answers_ = 0;      // the value of snapshot_wanted that this one answers
    uint64_t last_number_ = 0;
    uint64_t number_ = 0; // of the one that holds
    // The sampler's thread's.
    uint32_t seen_ = 0;
    uint64_t next_ns_ = 0; // CLOCK_MONOTONIC; of LEAK_SNAPSHOT=SECONDS
};

} // namespace leak::preload
