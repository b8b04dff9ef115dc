#include "preload/snapshot/snapshots.hpp"

#include "format/checksum.hpp"
#include "preload/os.hpp"
#include "preload/own_memory.hpp"
#include "preload/snapshot/host_threads.hpp"
#include "preload/tracer.hpp"

#include <csignal>
#include <cstring>
#include <sched.h>
#include <sys/utsname.h>
#include <sys/wait.h>

namespace leak::preload {

using format::SnapshotReason;
using Outcome = Mailbox::Outcome;

extern "C" long leak_clone(unsigned long flags, void* stack_top, void* thread_pointer, void (*function)()) noexcept;

namespace {

constexpr long kRoundMilliseconds = 50;
// Without any progress of the copy: it is stuck, in a fault that nobody answers perhaps.
constexpr uint32_t kMostIdleRounds = 60'000 / kRoundMilliseconds;
// For one that another thread is taking when the process is about to end.
constexpr uint32_t kMostWaitRounds = 120'000 / kRoundMilliseconds;

[[nodiscard]] uint64_t now_ns() noexcept
{
    return os::clock_ns(CLOCK_MONOTONIC);
}

void wake_all(std::atomic<uint32_t>& word) noexcept
{
    os::shared_futex_wake(reinterpret_cast<uint32_t*>(&word), INT32_MAX);
}

[[nodiscard]] uint32_t* wanted_word() noexcept
{
    return &g_tracer.file.header().snapshot_wanted;
}
[[nodiscard]] uint32_t wanted() noexcept
{
    return std::atomic_ref(*wanted_word()).load(std::memory_order_acquire);
}

void answer(format::SnapshotFailure failure, uint32_t answered) noexcept
{
    format::FileHeader& header = g_tracer.file.header();
    std::atomic_ref(header.snapshot_failure).store(failure, std::memory_order_relaxed);
    std::atomic_ref(header.snapshot_answered).store(answered, std::memory_order_release);
    os::shared_futex_wake(&header.snapshot_answered, INT32_MAX);
}

// A host that has made a pid namespace for its next child must not have its first process made by us.
[[nodiscard]] bool next_child_is_elsewhere() noexcept
{
    char own[64] = {};
    char next[64] = {};
    const long bytes = os::read_link("/proc/self/ns/pid", own, sizeof own);
    return bytes > 0 && os::read_link("/proc/self/ns/pid_for_children", next, sizeof next) > 0 &&
           std::memcmp(own, next, sizeof own) != 0;
}

// /proc/self/status, until it is read again; empty: it can't be read.
[[nodiscard]] const char* status_of_process() noexcept
{
    static constinit char text[4096]; // of whoever takes the snapshot
    const long bytes = os::read_file("/proc/self/status", text, sizeof text - 1);
    text[bytes > 0 ? bytes : 0] = 0;
    return text;
}

// In memory or swapped out, all that it may have written.
[[nodiscard]] uint64_t pages_of_process() noexcept
{
    const char* const text = status_of_process();
    return (bytes_of(text, "\nVmRSS:") + bytes_of(text, "\nVmSwap:") + bytes_of(text, "\nHugetlbPages:")) /
           format::kSnapshotPageBytes;
}

// Before Linux 5.16 a copy that dies of a signal with a core dump, such as a seccomp filter's, takes along all who have
// its memory. And where all that is mapped is locked (mlockall), what the copy maps would be, too.
[[nodiscard]] bool memory_can_be_shared() noexcept
{
    utsname system{};
    if (os::call(SYS_uname, os::word(&system)) != 0) return false;
    const char* at = &system.release[0];
    const uint64_t major = take_number(at);
    if (*at == '.') ++at;
    const uint64_t minor = take_number(at);
    if (major < 5 || (major == 5 && minor < 16)) return false;
    const char* const status = status_of_process();
    return *status != 0 && bytes_of(status, "\nVmLck:") == 0;
}

// The most slots of a snapshot: there are two while one is written.
[[nodiscard]] uint32_t most_slots() noexcept
{
    const SlotRing& ring = g_tracer.file.ring();
    return ring.is_bounded() ? ring.limit() / 8 : UINT32_MAX;
}

// The order is found by a variable: a function that clone() calls has no argument.
constinit const CopyOrder* g_order = nullptr;

} // namespace

// -- when --

bool Snapshots::is_possible() noexcept
{
    return g_tracer.file.exists() && g_tracer.owns_trace() && !g_tracer.is_vfork_child();
}

// The registers that functions keep for their callers lie at the frame's end: what is below is not the host's.
[[gnu::noinline]] void Snapshots::take_here(SnapshotReason reason) noexcept
{
    if (!g_tracer.settings.snapshots || !is_possible()) return;
    if (t_local.level != 0 || t_local.locks_held != 0 || t_local.in_tracer != 0 || t_local.beginning) return;
    __builtin_unwind_init();
    const auto* const frame = static_cast<const uint64_t*>(__builtin_frame_address(0));
    constexpr size_t kSaved = 6; // rbp, and below it rbx, r12 to r15
    const uint64_t* const saved = frame - (kSaved - 1);
    const bool is_mark = reason == SnapshotReason::mark;
    ++t_local.locks_held; // a handler's event that needs a lock must not wait for us
    if (reason == SnapshotReason::exit || reason == SnapshotReason::fast_exit) g_tracer.writer.stay_away();
    if (enter(!is_mark)) {
        order_.reason = reason;
        order_.tid = os::tid();
        for (size_t i = 0; i < kSaved; ++i) order_.registers[i] = saved[i];
        const bool is_served = take_on_host(reinterpret_cast<uint64_t>(saved));
        // Not before: the next one uses the same stack.
        if (is_served)
            leave();
        else
            hand_over();
        if (!is_mark && reason != SnapshotReason::exec) is_ending_.store(true, std::memory_order_relaxed);
    }
    --t_local.locks_held;
}

// False: the copy is made, and the sampler's thread is there to serve it.
bool Snapshots::take_on_host(uint64_t stack_pointer) noexcept
{
    order_.stack_pointer = stack_pointer;
    order_.descriptor = -1;
    if (!own_stack_.map()) {
        finish(Failure::no_memory);
        return true;
    }
    bool is_served = true;
    auto work = [this, &is_served] {
        if (!begin()) return;
        is_served = order_.reason != SnapshotReason::mark || !g_tracer.writer.ensure_running() ||
                    !g_tracer.sampler.has_thread();
        if (is_served) serve();
    };
    on_private_stack(own_stack_, work);
    return is_served;
}

bool Snapshots::is_last() const noexcept
{
    return order_.reason == SnapshotReason::exit || order_.reason == SnapshotReason::fast_exit;
}

// waits: for one that is under way, to end. False: there is one.
bool Snapshots::enter(bool waits) noexcept
{
    for (uint32_t round = 0;; ++round) {
        Step step = Step::idle;
        if (step_.compare_exchange_strong(step, Step::begun, std::memory_order_acquire)) {
            answers_ = wanted();
            return true;
        }
        if (!waits || round == kMostWaitRounds || g_tracer.is_adrift()) return false;
        os::futex_wait(reinterpret_cast<uint32_t*>(&step_), static_cast<uint32_t>(step), kRoundMilliseconds);
    }
}

// Whoever comes next may begin.
void Snapshots::leave() noexcept
{
    step_.store(Step::idle, std::memory_order_release);
    os::futex_wake(reinterpret_cast<uint32_t*>(&step_), INT32_MAX);
}

// The thread is woken by the word that others count up, too.
void Snapshots::hand_over() noexcept
{
    // What others have asked for since the copy was made is not answered by it.
    if (wanted() == answers_) ++answers_;
    step_.store(Step::waiting, std::memory_order_release);
    std::atomic_ref(*wanted_word()).fetch_add(1, std::memory_order_release);
    os::shared_futex_wake(wanted_word(), INT32_MAX);
}

void Snapshots::work() noexcept
{
    seen_ = wanted();
    Step step = Step::waiting;
    if (step_.compare_exchange_strong(step, Step::begun, std::memory_order_acquire)) {
        serve();
        leave();
    }
    if (!is_possible() || is_ending_.load(std::memory_order_relaxed)) return;
    const format::FileHeader& header = g_tracer.file.header();
    const bool is_wanted = seen_ != std::atomic_ref(const_cast<uint32_t&>(header.snapshot_answered)).load();
    const bool is_due = g_tracer.settings.snapshot_ms != 0 && now_ns() >= next_ns_;
    if (!is_wanted && !is_due) return;
    if (!g_tracer.settings.snapshots) return answer(Failure::off, seen_);
    if (!g_tracer.is_recording()) {
        if (is_wanted) answer(Failure::stopped, seen_);
    } else if (enter(false)) {
        order_.reason = is_wanted ? SnapshotReason::request : SnapshotReason::interval;
        order_.tid = 0;
        order_.descriptor = g_tracer.writer.descriptor();
        if (begin()) serve();
        leave();
    }
    next_ns_ = now_ns() + uint64_t{g_tracer.settings.snapshot_ms} * 1'000'000;
}

long Snapshots::milliseconds_to_next() const noexcept
{
    constexpr long kNever = 3'600'000;
    if (g_tracer.settings.snapshot_ms == 0) return kNever;
    const uint64_t now = now_ns();
    return next_ns_ <= now ? 1 : static_cast<long>((next_ns_ - now) / 1'000'000 + 1);
}

// -- the copy --

bool Snapshots::prepare() noexcept
{
    if (!copy_stack_.map()) return false;
    // Nothing comes after the last one that could be compared with it.
    if (is_last() || !contents_.map(pages_of_process())) contents_.unmap();
    if (mailbox_ == nullptr) mailbox_ = static_cast<Mailbox*>(map_shared_own(sizeof(Mailbox)));
    return mailbox_ != nullptr;
}

// False: there is none, and that was it.
bool Snapshots::begin() noexcept
{
    if (!g_tracer.is_recording()) {
        finish(Failure::stopped);
        return false;
    }
    if (!prepare() || next_child_is_elsewhere()) {
        finish(Failure::no_memory);
        return false;
    }
    Mailbox& box = *mailbox_;
    box.news.store(0, std::memory_order_relaxed);
    box.slots_wanted.store(0, std::memory_order_relaxed);
    box.slots_given.store(0, std::memory_order_relaxed);
    box.progress.store(0, std::memory_order_relaxed);
    box.is_ready.store(0, std::memory_order_relaxed);
    box.outcome.store(Outcome::running, std::memory_order_relaxed);
    order_.mailbox = mailbox_;
    order_.number = ++last_number_;
    failed_tries_ = 0;
    order_.parent = g_tracer.process();
    order_.most_slots = most_slots();
    order_.last_contents = &last_contents_;
    order_.contents = &contents_;
    look_at_host_threads(box, order_.tid, order_.stack_pointer);
    order_.shares_memory = is_last() && box.has_all_threads && box.thread_count == 1 && memory_can_be_shared();
    long made = make_copy();
    if (made < 0 && order_.shares_memory) { // a sandbox's rules; before Linux 6.0 a time namespace for children
        order_.shares_memory = false;
        made = make_copy();
    }
    if (made <= 0) {
        finish(Failure::no_memory);
        return false;
    }
    copy_ = static_cast<uint32_t>(made);
    look_again_at_host_threads(box);
    box.is_ready.store(1, std::memory_order_release);
    wake_all(box.is_ready);
    return true;
}

long Snapshots::make_copy() noexcept
{
    // No signal at its end, and none who traces the host is told.
    const unsigned long flags = CLONE_UNTRACED | (order_.shares_memory ? CLONE_VM : 0);
    g_order = &order_;
    const os::SignalsBlocked no_handlers;
    if (g_tracer.is_adrift()) return -ECHILD; // a handler has forked, and we are in the child
    order_.stamp = g_tracer.now();
    g_tracer.clock.beat();
    order_.begin_ns = now_ns();
    const long made = leak_clone(flags, copy_stack_.top(), nullptr, [] { live_as_copy(*g_order); });
    mailbox_->pause_ns = now_ns() - order_.begin_ns;
    return made;
}

// -- serving it --

// Until it is done. The slots that it asks for are taken here, because it holds but copies of the locks.
void Snapshots::serve() noexcept
{
    Mailbox& box = *mailbox_;
    uint32_t progress = 0;
    for (uint32_t idle = 0; idle < kMostIdleRounds && !g_tracer.is_adrift(); ++idle) {
        const uint32_t news = box.news.load(std::memory_order_acquire);
        if (box.slots_wanted.load(std::memory_order_acquire) != box.slots_given.load(std::memory_order_relaxed) &&
            give_slot())
            idle = 0;
        if (box.outcome.load(std::memory_order_acquire) != Outcome::running || copy_is_gone()) break;
        if (const uint32_t now = box.progress.load(std::memory_order_relaxed); now != progress) {
            progress = now;
            idle = 0;
        }
        os::shared_futex_wait(reinterpret_cast<uint32_t*>(&box.news), news, kRoundMilliseconds);
    }
    const os::SignalsBlocked no_handlers(os::signal_set(SIGBUS));
    if (g_tracer.is_adrift()) return; // a handler has forked: it is the parent's
    end_copy();
    switch (box.outcome.load(std::memory_order_acquire)) {
    case Outcome::whole:
        return publish();
    case Outcome::no_room:
        return finish(Failure::no_room);
    case Outcome::no_memory:
        return finish(Failure::no_memory);
    default:
        return finish(Failure::killed);
    }
}

// False: there is none now, but there may be soon.
bool Snapshots::give_slot() noexcept
{
    Mailbox& box = *mailbox_;
    const bool has_failed = g_tracer.state() == State::failed;
    const Slot slot = has_failed ? Slot{} : g_tracer.new_slot(format::SlotKind::snapshot);
    const os::SignalsBlocked no_handlers(os::signal_set(SIGBUS));
    if (g_tracer.is_adrift()) return false; // the copy and what both share are the parent's
    if (!slot && !has_failed && g_tracer.file.ring().is_bounded()) {
        // The writer was asked in the middle of a fold, which may have ended since.
        constexpr uint32_t kTries = 3;
        if (g_tracer.folder.is_folding() || ++failed_tries_ < kTries) return false;
    }
    failed_tries_ = 0;
    if (slot) {
        g_tracer.file.ring().note_events(slot.index, order_.number, order_.number); // whose it is
        g_tracer.file.close_slot(slot);
    }
    box.slot = slot ? slot.index : Mailbox::kNoSlot;
    box.slots_given.fetch_add(1, std::memory_order_release);
    wake_all(box.slots_given);
    return true;
}

// The host can't wait for it, unless it asks for children of all kinds.
bool Snapshots::copy_is_gone() noexcept
{
    const long waited = os::call(SYS_wait4, copy_, 0, WNOHANG | __WCLONE, 0);
    if (waited == 0) return false;
    copy_ = 0;
    return true;
}

// It has said its last, or is to be killed; its pid is its own until it was waited for.
void Snapshots::end_copy() noexcept
{
    const bool is_done = mailbox_->outcome.load(std::memory_order_acquire) != Outcome::running;
    if (copy_ != 0 && !is_done && !copy_is_gone()) os::call(SYS_kill, copy_, SIGKILL);
    long waited = -EINTR;
    while (copy_ != 0 && waited == -EINTR && !g_tracer.is_adrift()) waited = os::call(SYS_wait4, copy_, 0, __WCLONE, 0);
    copy_ = 0;
}

// -- the end --

void Snapshots::publish() noexcept
{
    format::FileHeader& header = g_tracer.file.header();
    format::StateRef reference{order_.number, order_.stamp, mailbox_->bytes, mailbox_->parts, 0};
    reference.checksum = format::checksum(&reference, offsetof(format::StateRef, checksum));
    const uint32_t next = header.snapshot_index == 0 ? 1 : 0;
    header.snapshots[next] = reference;
    std::atomic_ref(header.snapshot_index).store(next, std::memory_order_release);
    number_ = order_.number;
    if (contents_.exists()) last_contents_.take(contents_);
    finish(Failure::none);
}

void Snapshots::finish(Failure failure) noexcept
{
    free_slots_but(number_);
    contents_.unmap();
    answer(failure, answers_);
}

// In a trace without bound slots are not used again.
void Snapshots::free_slots_but(uint64_t number) noexcept
{
    SlotRing& ring = g_tracer.file.ring();
    for (uint32_t i = 0; ring.is_bounded() && i < ring.slots(); ++i)
        if (const SlotRing::Use use = ring.use(i); use.kind == format::SlotKind::snapshot && use.last_stamp != number)
            ring.free(i);
}

bool Snapshots::give_up_last() noexcept
{
    Step step = Step::idle;
    // Whoever takes one may be waiting for this very slot.
    if (!step_.compare_exchange_strong(step, Step::begun, std::memory_order_acquire)) return false;
    const bool has_any = number_ != 0 && g_tracer.file.ring().count(format::SlotKind::snapshot) != 0;
    if (has_any) {
        constexpr uint32_t kNone = 2;
        std::atomic_ref(g_tracer.file.header().snapshot_index).store(kNone, std::memory_order_release);
        number_ = 0;
        free_slots_but(0);
    }
    leave();
    return has_any;
}

void Snapshots::reset() noexcept
{
    if (mailbox_ != nullptr) unmap_own(mailbox_, sizeof(Mailbox)); // the parent uses it
    mailbox_ = nullptr;
    contents_.unmap();
    last_contents_.unmap();
    copy_ = 0;
    last_number_ = number_ = 0;
    seen_ = 0;
    next_ns_ = 0;
    is_ending_.store(false, std::memory_order_relaxed);
    step_.store(Step::idle, std::memory_order_relaxed);
}

} // namespace leak::preload
