// The background thread that compresses full buffers and extends the file.
//
// Not a thread of glibc's: one made by clone() with a table of descriptors of its own, so that the host neither counts
// it (a process ends when its last pthread does), nor joins it, nor closes its file, nor hands it to a child. It runs
// no libc code that uses thread-local storage, blocks all signals (but SIGBUS while it works: BusGuard), and it is
// started when there is work the first time. In a forked child it is gone and started again when needed.
#pragma once

#include "format/layout.hpp"
#include "preload/lock.hpp"
#include "preload/spare_processor.hpp"
#include "preload/trace_file.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace leak::preload {

class Writer {
public:
    // False: there is no thread (LEAK_WRITER=inline, or none could be made); the caller does the work itself.
    [[nodiscard]] bool ensure_running() noexcept;

    // The process is about to end: no thread is started any more if none was.
    void stay_away() noexcept;

    // There is work. Starts the thread if need be.
    void wake() noexcept;
    // There is a full buffer. As long as there are many free ones a thread that naps is left to itself: to wake it is
    // a system call, and on another processor an interrupt.
    void wake_for_buffer() noexcept;

    // Has the thread add a slot and waits for it; none when it can't be had.
    [[nodiscard]] Slot request_slot(format::SlotKind kind, uint32_t owner_tid) noexcept;

    // The thread's own descriptor of the file, or -1; for the thread itself.
    [[nodiscard]] int descriptor() const noexcept { return descriptor_; }

    // Whether what the thread does takes no time from the host; for the thread itself, once for each buffer.
    [[nodiscard]] bool has_spare_processor() noexcept { return spare_processor_.is_there(); }

    // For the thread itself, in long work: answers a request, or compresses a buffer that waits. False: neither.
    bool work_on() noexcept;

    void reset() noexcept;

private:
    enum class Status : uint32_t { not_started, running, unavailable };
    enum class Rest : uint32_t {
        none,
        nap,   // until a moment has passed
        sleep, // until it is woken
    };

    static void main() noexcept;
    void run() noexcept;
    // Unless there was a wake-up since work_ was `seen`.
    void rest(Rest how, uint32_t seen, long milliseconds) noexcept;
    void wake_from(Rest lightest) noexcept;
    void serve_request() noexcept;

    struct Request {
        std::atomic<uint32_t> pending{0}; // a futex: 1 from the request to the answer
        format::SlotKind kind{};
        uint32_t owner_tid = 0;
        Slot slot;
    };

    std::atomic<Status> status_{Status::not_started};
    Lock start_lock_;
    Lock request_lock_; // held by the thread that waits for an answer
    Request request_;
    int descriptor_ = -1;
    SpareProcessor spare_processor_;
    std::atomic<uint32_t> work_{0}; // counts wake-ups; a futex
    std::atomic<Rest> rest_{Rest::none};
};

} // namespace leak::preload
