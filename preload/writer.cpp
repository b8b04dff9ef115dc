#include "preload/writer.hpp"

#include "preload/os.hpp"
#include "preload/own_thread.hpp"
#include "preload/tracer.hpp"

#include <csignal>
#include <linux/close_range.h>

namespace leak::preload {

namespace {

constexpr long kIdleMilliseconds = 60'000;
constexpr long kBusyMilliseconds = 100; // others are compressing, all of them
constexpr long kNapMilliseconds = 1;
constexpr uint32_t kMostNaps = 3; // without work

[[nodiscard]] uint64_t thread_cpu_ns() noexcept
{
    return os::clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

// Gives the calling thread a table of descriptors of its own, with nothing in it. False: not on this kernel.
[[nodiscard]] bool leave_hosts_descriptors() noexcept
{
    return os::call(SYS_close_range, 0, ~0u, CLOSE_RANGE_UNSHARE) == 0;
}

} // namespace

bool Writer::ensure_running() noexcept
{
    const Status status = status_.load(std::memory_order_acquire);
    if (status != Status::not_started) return status == Status::running;
    if (!g_tracer.settings.writer_thread || g_tracer.is_adrift()) return false;
    const Locked locked(start_lock_);
    if (status_.load(std::memory_order_relaxed) == Status::not_started)
        status_.store(start_own_thread(&Writer::main, true) ? Status::running : Status::unavailable,
                      std::memory_order_release);
    return status_.load(std::memory_order_relaxed) == Status::running;
}

void Writer::stay_away() noexcept
{
    if (status_.load(std::memory_order_acquire) != Status::not_started) return;
    const Locked locked(start_lock_);
    if (status_.load(std::memory_order_relaxed) == Status::not_started)
        status_.store(Status::unavailable, std::memory_order_release);
}

void Writer::main() noexcept
{
    g_tracer.writer.run();
}

void Writer::run() noexcept
{
    settle_own_thread();
    if (leave_hosts_descriptors()) {
        descriptor_ = g_tracer.file.open_again();
        spare_processor_.begin();
    }
    os::allow_signal(SIGBUS);
    static_cast<void>(work_on()); // somebody may be waiting already
    g_tracer.sampler.start();
    for (uint32_t naps = 0;;) {
        os::allow_signal(SIGBUS); // or a fault in a slot kills the process
        const uint32_t seen = work_.load(std::memory_order_acquire);
        const bool has_drained = work_on();
        const bool has_folded = g_tracer.fold_if_due();
        std::atomic_ref(g_tracer.file.header().writer_cpu_ns).store(thread_cpu_ns(), std::memory_order_relaxed);
        if (has_drained || has_folded) {
            naps = 0;
            g_tracer.clock.begin_beats();
            continue;
        }
        // Else it would take from the host's threads what they block to wait for it.
        os::block_signal(SIGBUS);
        const bool is_more = g_tracer.pool.full_count() != 0 && g_tracer.state() != State::failed;
        if (is_more)
            rest(Rest::sleep, seen, kBusyMilliseconds);
        else if (naps++ < kMostNaps)
            rest(Rest::nap, seen, kNapMilliseconds);
        else
            rest(Rest::sleep, seen, kIdleMilliseconds);
    }
}

// A thread that counts work_ up and then sees no rest does so before the kernel compares work_.
void Writer::rest(Rest how, uint32_t seen, long milliseconds) noexcept
{
    if (how == Rest::sleep) g_tracer.clock.end_beats();
    rest_.store(how, std::memory_order_seq_cst);
    os::futex_wait(reinterpret_cast<uint32_t*>(&work_), seen, milliseconds);
    rest_.store(Rest::none, std::memory_order_relaxed);
    g_tracer.clock.beat();
}

bool Writer::work_on() noexcept
{
    serve_request();
    g_tracer.add_wanted_buffers();
    return g_tracer.drains.try_one();
}

void Writer::serve_request() noexcept
{
    if (request_.pending.load(std::memory_order_acquire) == 0) return;
    request_.slot = g_tracer.add_slot(request_.kind, request_.owner_tid, descriptor_);
    request_.pending.store(0, std::memory_order_release);
    os::futex_wake(reinterpret_cast<uint32_t*>(&request_.pending), 1);
}

void Writer::wake() noexcept
{
    wake_from(Rest::nap);
}

void Writer::wake_for_buffer() noexcept
{
    const BufferPool& pool = g_tracer.pool;
    wake_from(pool.has_free() && 4 * pool.full_count() < pool.count() ? Rest::sleep : Rest::nap);
}

void Writer::wake_from(Rest lightest) noexcept
{
    if (!ensure_running()) return;
    work_.fetch_add(1, std::memory_order_seq_cst);
    if (rest_.load(std::memory_order_seq_cst) >= lightest) os::futex_wake(reinterpret_cast<uint32_t*>(&work_), 1);
}

Slot Writer::request_slot(format::SlotKind kind, uint32_t owner_tid) noexcept
{
    const Locked locked(request_lock_);
    request_.kind = kind;
    request_.owner_tid = owner_tid;
    request_.pending.store(1, std::memory_order_release);
    wake();
    while (request_.pending.load(std::memory_order_acquire) != 0 && !g_tracer.is_adrift())
        os::futex_wait(reinterpret_cast<uint32_t*>(&request_.pending), 1, 100);
    return g_tracer.is_adrift() ? Slot{} : request_.slot;
}

void Writer::reset() noexcept
{
    status_.store(Status::not_started, std::memory_order_relaxed);
    start_lock_.reset();
    request_lock_.reset();
    request_.pending.store(0, std::memory_order_relaxed);
    descriptor_ = -1;
    spare_processor_.reset();
    g_tracer.clock.end_beats();
    rest_.store(Rest::none, std::memory_order_relaxed);
}

} // namespace leak::preload
