#include "preload/tracer.hpp"

#include "preload/bus_guard.hpp"
#include "preload/eh_frame.hpp"
#include "preload/message.hpp"
#include "preload/os.hpp"
#include "preload/output_path.hpp"
#include "preload/own_memory.hpp"

#include <cstring>
#include <pthread.h>

namespace leak::preload {

constinit Tracer g_tracer;
constinit Control Tracer::no_control_;

namespace {

constexpr std::string_view error_text(int error) noexcept
{
    switch (-error) {
    case EACCES:
        return "permission denied";
    case EDQUOT:
        return "disk quota exceeded";
    case EFBIG:
        return "the limit of file sizes (ulimit -f) is reached";
    case EMFILE:
    case ENFILE:
        return "too many open files";
    case EISDIR:
        return "it names a directory";
    case ENAMETOOLONG:
        return "the name is too long";
    case ENOENT:
        return "no such directory";
    case ENOMEM:
        return "out of memory";
    case ENOSPC:
        return "no space left on the disk";
    case ENOTDIR:
        return "a part of the path is not a directory";
    case EROFS:
        return "read-only file system";
    case ESTALE:
        return "the trace file was moved or replaced";
    default:
        return "system error";
    }
}

} // namespace

// -- beginning --

bool Tracer::begin_recording() noexcept
{
    if (state() == State::off) {
        toggles_.store(0, std::memory_order_relaxed);
        renew_mode();
        return false;
    }
    if (!is_settled()) {
        lost_early_.fetch_add(1, std::memory_order_relaxed);
        return false;
    }
    if (state() == State::failed) {
        announce_failure();
        count_lost(format::LossCause::no_space);
        return false;
    }
    if (state() == State::stopped && toggles_.load(std::memory_order_relaxed) == 0) {
        renew_mode();
        return false;
    }
    if (t_local.beginning || t_local.locks_held != 0) {
        // A signal handler, while the trace is being created or recording is about to be switched on.
        if (!is_stopped()) count_lost(format::LossCause::nested_signal);
        return false;
    }
    const int saved_errno = errno;
    t_local.beginning = true;
    // The first event of a process may be on any stack; this is done once, so it has one for itself.
    bool recording = false;
    PrivateStack stack;
    if (stack.map()) {
        auto work = [&] { recording = begin_recording_locked(); };
        on_private_stack(stack, work);
        stack.unmap();
    }
    t_local.beginning = false;
    errno = saved_errno;
    return recording;
}

bool Tracer::begin_recording_locked() noexcept
{
    const Locked locked(begin_lock_);
    if (state() == State::fresh) initialise();
    if (toggles_.load(std::memory_order_relaxed) != 0) {
        const Locked records(state_lock);
        carry_out_toggles(true);
    }
    if (state() == State::dormant && create_trace() && state() == State::dormant) enter_state(State::recording);
    // Nothing else may start the threads in time.
    if (state() == State::recording && settings.snapshot_ms != 0) static_cast<void>(writer.ensure_running());
    renew_mode();
    return state() == State::recording;
}

void Tracer::initialise() noexcept
{
    remember_standard_error();
    pid_ = os::pid();
    clock.init();
    drains.init(os::processors());
    static_cast<void>(read_settings(settings));
    sampling.begin(settings.sample);
    if (void* page = map_own(kPageBytes); page != nullptr) {
        os::advise(page, kPageBytes, MADV_WIPEONFORK);
        control_ = static_cast<Control*>(page);
    }
    control_->is_ours.store(true, std::memory_order_relaxed);
    has_ending_key_ = pthread_key_create(&ending_key_, [](void* state) {
                          g_tracer.threads.note_ending(*static_cast<ThreadState*>(state));
                      }) == 0;
    Path executable;
    executable_path(executable);
    const bool unwanted = settings.is_unwanted_child ||
                          (!settings.only.empty() && !matches_any(settings.only.view(), base_name(executable.view())));
    enter_state(unwanted ? State::off : settings.start ? State::dormant : State::stopped);
    if (!unwanted) start_reacting();
}

bool Tracer::create_trace() noexcept
{
    g_bus_guard.install();
    if (!file.create(settings, clock)) {
        state_.store(State::failed, std::memory_order_release);
        say({"can't create a trace file (", error_text(file.error()), "), so the program runs untraced; set LEAK_OUT"});
        return false;
    }
    std::byte* const slot = file.first_slot();
    journal.begin(*reinterpret_cast<format::JournalHeader*>(slot + format::kFirstJournalOffset));
    pcs.continue_in(*reinterpret_cast<format::PcsHeader*>(slot + format::kFirstPcsOffset));
    if (!pool.adopt(slot + format::kFirstRawOffset, slot + format::kSlotBytes)) {
        fail(format::LossCause::no_memory, "no memory", -ENOMEM);
        return false;
    }
    const Locked locked(state_lock);
    write_first_records();
    file.note_time(clock);
    for (uint64_t lost = lost_early_.exchange(0, std::memory_order_relaxed); lost > 0; --lost)
        count_lost(format::LossCause::nested_signal);
    return true;
}

void Tracer::write_first_records() noexcept
{
    // The command line as the kernel has it; what a record can't hold is cut.
    constexpr size_t kMostBytes = 16 * 1024;
    auto* text = static_cast<char*>(map_own(kMostBytes));
    if (text != nullptr) {
        Path path;
        executable_path(path);
        size_t used = path.view().size() + 1;
        std::memcpy(text, path.c_str(), used);
        make_absolute("", path);
        if (path.view().size() > 1) path.resize(path.view().size() - 1);
        std::memcpy(text + used, path.c_str(), path.view().size() + 1);
        used += path.view().size() + 1;
        const long arguments = os::read_file("/proc/self/cmdline", text + used, kMostBytes - used);
        if (arguments > 0) used += static_cast<size_t>(arguments);
        journal.write(format::RecordType::process, {format::piece_of_text(text, used)});
        unmap_own(text, kMostBytes);
    }
    if (parent_.trace_id != 0) {
        const format::ParentRecord record{parent_.trace_id, parent_.pid, 0};
        const std::string_view path = parent_.path.view();
        journal.write(format::RecordType::parent,
                      {format::piece_of(record), format::piece_of_text(path.data(), path.size())}, parent_.fork_stamp);
    }
    for_each_setting([](std::string_view setting) {
        g_tracer.journal.write(format::RecordType::setting,
                               {format::piece_of_text(setting.data(), setting.size() < 4096 ? setting.size() : 4096)});
    });
    modules.write_all(journal);
}

// -- what recording needs --

PcInfo Tracer::pc_info(uint64_t pc) noexcept
{
    const bool check = is_closing();
    PcInfo info{};
    if (!check) {
        info = pcs.find(pc);
        if (info.id() != 0) return info;
    }
    if (t_local.locks_held != 0) return PcInfo{}; // a signal handler inside our own critical section: an unknown pc
    const std::optional<UnwindRule> rule = find_unwind_rule(pc);
    const Locked locked(state_lock);
    // A module may also have gone without a dlclose() that we have seen, such as one of iconv's. Where nothing is read
    // that belongs to it, dlclose() is soon enough to find out.
    uint32_t module_index = modules.index_of(pc, check || !rule, &journal);
    if (module_index == ModuleTable::kUnloaded) {
        forget_unloaded();
        module_index = modules.index_of(pc, false, &journal);
    }
    uint32_t known_module = 0;
    if (pcs.look_up(pc, info, known_module) && known_module == module_index) return info;
    if (!pcs.has_room() && !add_pcs_slot()) return PcInfo{};
    return pcs.add(pc, module_index, rule ? *rule : modules.rule_from_file(module_index, pc));
}

bool Tracer::add_pcs_slot() noexcept
{
    const Slot slot = new_slot(format::SlotKind::pcs);
    if (!slot) return false;
    pcs.continue_in(slot.body<format::PcsHeader>());
    return true;
}

// A buffer to fill for every thread, one for every other to be compressed meanwhile, and some for what threads fill
// while the writer waits for a processor, or folds.
bool Tracer::has_enough_buffers() const noexcept
{
    constexpr uint32_t kForLateWriter = 15;
    return pool.large_count() >= threads.count() + threads.count() / 2 + kForLateWriter;
}

// A small one is for a stream's first events, of which nobody knows yet whether there will be many, and for threads
// that are more than the large ones.
RawBuffer* Tracer::take_free_buffer(bool is_first, bool may_grow) noexcept
{
    if (is_first || settings.drops_overflow) return is_first ? pool.take_smallest() : pool.take_largest();
    if (RawBuffer* buffer = pool.take_large()) return buffer;
    const bool may_get_large = may_grow && !file.ring().has_large_raw_slots() && !has_enough_buffers();
    if (may_get_large || (pool.large_count() >= threads.count() && pool.waiting_count() != 0)) return nullptr;
    return pool.take_smallest();
}

RawBuffer* Tracer::take_buffer(uint32_t level, bool is_first) noexcept
{
    announce_limit();
    uint32_t idle_waits_left = 50; // of a tenth of a second
    bool may_grow = true;
    for (bool has_reclaimed = false;;) {
        if (is_adrift()) return nullptr;
        const uint32_t seen = pool.free_events();
        if (RawBuffer* buffer = take_free_buffer(is_first, may_grow)) {
            // Before threads miss them: until the writer runs, and has made the file longer, this one is filled. Of a
            // thread with its first event nobody knows whether it will fill any.
            if (!pool.has_free() && (!is_first || settings.drops_overflow)) want_buffers();
            return buffer;
        }
        if (state() == State::failed || must_drop()) return nullptr;
        if (may_grow && (pool.full_count() == 0 || !has_enough_buffers())) {
            const Locked locked(pool_growth_lock_);
            if (RawBuffer* buffer = take_free_buffer(is_first, may_grow)) return buffer; // somebody else was quicker
            may_grow = add_buffers();
            continue;
        }
        if (!is_buffer_coming(level, idle_waits_left > 0)) {
            // All are in the hands of threads that don't come back with them, or have ended.
            if (has_reclaimed) return nullptr;
            has_reclaimed = true;
            const Locked locked(state_lock);
            threads.reclaim();
            continue;
        }
        if (drains.try_one()) continue;
        pool.wait_for_free(seen);
        may_grow = true; // a fold may have made room
        if (pool.free_events() == seen && idle_waits_left > 0) --idle_waits_left;
    }
}

// In the order in which buffers go round, so that none is overlooked. A signal handler does not wait for what other
// threads have just taken: they may have been interrupted by one that waits, too.
bool Tracer::is_buffer_coming(uint32_t level, bool may_wait) const noexcept
{
    if (pool.waiting_count() != 0 || pool.has_free()) return true;
    return level == 0 && may_wait && (pool.just_taken_count() != 0 || folder.is_folding());
}

void Tracer::keep_or_pass_on(Stream& stream) noexcept
{
    if (pool.is_short() && file.ring().has_all_raw_slots()) {
        RawBuffer* const passed_on = stream.buffer;
        stream.leave_buffer();
        pool.give_full(*passed_on, stream.rows.last_stamp());
        writer.wake_for_buffer();
        // Now and then, as threads become more.
        constexpr uint32_t kPeriod = 1024;
        if (passed_on_.fetch_add(1, std::memory_order_relaxed) % kPeriod == 0) cut_large_buffers();
    }
    pool.settle();
}

void Tracer::cut_large_buffers() noexcept
{
    constexpr uint32_t kBesides = 100; // that are full, or go round
    const uint32_t bytes = file.ring().smallest_raw_buffer_bytes();
    if (!state_lock.try_lock()) return;
    pool.cut_into(bytes, threads.count() + kBesides);
    threads.recall_buffers(2 * bytes);
    state_lock.unlock();
}

// Without a writer somebody has to compress, whatever was asked for.
bool Tracer::must_drop() noexcept
{
    if (!settings.drops_overflow || pool.has_free() || !writer.ensure_running()) return false;
    want_buffers();
    return true;
}

format::LossCause Tracer::loss_without_buffer() const noexcept
{
    const bool has_failed = state() == State::failed;
    return settings.drops_overflow && !has_failed ? format::LossCause::overflow : format::LossCause::no_space;
}

// One system call until the buffers are there: where the ring has no room for more the wish stays.
void Tracer::want_buffers() noexcept
{
    if (has_enough_buffers() || buffers_wanted_.load(std::memory_order_relaxed)) return;
    if (!buffers_wanted_.exchange(true, std::memory_order_acq_rel)) writer.wake();
}

void Tracer::add_wanted_buffers() noexcept
{
    if (!buffers_wanted_.load(std::memory_order_acquire) || state() == State::failed) return;
    if (has_enough_buffers() || add_buffers()) buffers_wanted_.store(false, std::memory_order_release);
}

bool Tracer::add_buffers() noexcept
{
    if (file.ring().has_all_raw_slots()) return false;
    if (lacks_address_space_.load(std::memory_order_relaxed) && has_buffers_to_spare()) return false;
    const Slot slot = new_slot(format::SlotKind::raw_events);
    if (!slot) return false;
    if (pool.adopt(slot.at + sizeof(format::SlotHeader), slot.at + format::kSlotBytes)) return true;
    fail(format::LossCause::no_memory, "no memory", -ENOMEM);
    return false;
}

Slot Tracer::new_slot(format::SlotKind kind) noexcept
{
    if (is_adrift()) return {};
    if (t_local.is_writer) return add_slot(kind, 0, writer.descriptor());
    if (writer.ensure_running()) return writer.request_slot(kind, os::tid());
    // A child that a handler forks here would go on changing the file.
    const os::SignalsBlocked no_handlers(os::signal_set(SIGBUS)); // which the slot may raise
    const Locked locked(growth_lock_);
    fold_if_due();
    return add_slot(kind, os::tid(), -1);
}

Slot Tracer::add_slot(format::SlotKind kind, uint32_t owner_tid, int fd) noexcept
{
    if (t_local.is_writer) clock.end_beats(); // a disk may take its time
    Slot slot = file.add_slot(kind, owner_tid, fd);
    const bool may_fold = kind != format::SlotKind::raw_events || !file.ring().has_all_raw_slots();
    if (!slot && file.is_full() && may_fold && folder.fold()) slot = file.add_slot(kind, owner_tid, fd);
    // Before tracing ends for want of room, the last snapshot does.
    const bool is_needed = kind != format::SlotKind::samples && kind != format::SlotKind::snapshot &&
                           kind != format::SlotKind::raw_events && !folder.is_folding();
    if (!slot && file.is_full() && is_needed && snapshots.give_up_last()) slot = file.add_slot(kind, owner_tid, fd);
    if (slot || kind == format::SlotKind::samples) return slot; // a trace without samples is one
    if (kind == format::SlotKind::snapshot) return slot;        // and so is one without snapshots
    if (file.was_cut()) {
        lose_cut_file();
        return {};
    }
    if (kind == format::SlotKind::raw_events && file.error() == -ENOMEM && has_buffers_to_spare()) {
        lacks_address_space_.store(true, std::memory_order_relaxed);
        return {};
    }
    // Who gets no buffers loses events, which are counted; chunks can wait for a fold to end.
    const bool is_for_later =
        kind == format::SlotKind::raw_events || (kind == format::SlotKind::events && folder.is_folding());
    if (!file.is_full())
        fail(format::LossCause::no_space, "the trace can't grow", file.error());
    else if (!is_for_later && folder.lacks_memory())
        fail(format::LossCause::no_memory, "no memory to fold old events", -ENOMEM);
    else if (!is_for_later)
        fail(format::LossCause::no_space, "the ring is too small for what is live (LEAK_RING)", -ENOSPC);
    return {};
}

void Tracer::fail(format::LossCause cause, std::string_view what, int error) noexcept
{
    if (note_failure(cause, what, error) && !t_local.is_own_thread) announce_failure();
}

void Tracer::note_cut_file() noexcept
{
    if (is_new_child()) return; // the file is its parent's
    note_failure(format::LossCause::truncated, "somebody cut the trace file", 0);
}

void Tracer::lose_cut_file() noexcept
{
    {
        const os::SignalsBlocked no_handlers;
        file.leave(nullptr);
    }
    fail(format::LossCause::truncated, "somebody cut the trace file", 0);
}

bool Tracer::note_failure(format::LossCause cause, std::string_view what, int error) noexcept
{
    if (is_adrift() || state_.exchange(State::failed, std::memory_order_acq_rel) == State::failed) return false;
    renew_mode();
    if (file.exists()) {
        std::atomic_ref(file.header().loss_cause).store(cause, std::memory_order_relaxed);
        std::atomic_ref(file.header().loss_first_stamp).store(now(), std::memory_order_release);
    }
    failure_ = what;
    failure_error_ = error;
    failure_is_new_.store(true, std::memory_order_release);
    return true;
}

void Tracer::announce_failure() noexcept
{
    if (!failure_is_new_.load(std::memory_order_acquire) || !failure_is_new_.exchange(false)) return;
    if (failure_error_ == 0)
        return say({failure_, ": tracing stops here, the program goes on; what is left is in ", file.path().view()});
    say({failure_, " (", error_text(failure_error_),
         "): tracing stops here, the program goes on; events up to now are in ", file.path().view()});
}

void Tracer::announce_limit() noexcept
{
    const int error = file.new_limit();
    if (error == 0) return;
    Text<24> megabytes;
    megabytes.add_number(uint64_t{file.ring().limit()} * format::kSlotBytes >> 20);
    say({"the trace can't grow to its ring's size (", error_text(error), "): it keeps to ", megabytes.view(),
         " MiB, and old events are folded"});
}

void Tracer::count_libunwind_stack() noexcept
{
    std::atomic_ref(file.header().libunwind_stacks).fetch_add(1, std::memory_order_relaxed);
}

void Tracer::count_verified(bool same) noexcept
{
    std::atomic_ref(file.header().verified_stacks).fetch_add(1, std::memory_order_relaxed);
    if (!same) std::atomic_ref(file.header().stack_differences).fetch_add(1, std::memory_order_relaxed);
}

void Tracer::note_difference(const StackWalk& ours, void* const* theirs, uint32_t their_depth, uint64_t stamp) noexcept
{
    if (t_local.locks_held != 0) return;
    const Locked locked(state_lock);
    if (differences_noted_ == format::kMostDifferencesNoted) return;
    ++differences_noted_;
    uint64_t pcs_of_both[2 * format::kMaxStackDepth];
    const uint32_t our_depth = ours.depth();
    for (uint32_t i = 0; i < our_depth; ++i) pcs_of_both[i] = ours.pc(our_depth - 1 - i);
    for (uint32_t i = 0; i < their_depth; ++i) pcs_of_both[our_depth + i] = reinterpret_cast<uint64_t>(theirs[i]);
    const format::StackDifferenceRecord record{our_depth, their_depth};
    journal.write(format::RecordType::stack_difference,
                  {format::piece_of(record), std::as_bytes(std::span(pcs_of_both, our_depth + their_depth))}, stamp,
                  format::kIgnorable);
}

void Tracer::count_lost(format::LossCause cause, uint64_t events) noexcept
{
    if (is_adrift()) return; // the parent's business
    if (!file.exists()) {
        if (state() == State::dormant || state() == State::fresh)
            lost_early_.fetch_add(events, std::memory_order_relaxed);
        return;
    }
    format::FileHeader& header = file.header();
    std::atomic_ref(header.lost_events).fetch_add(events, std::memory_order_relaxed);
    auto none = format::LossCause::none;
    if (std::atomic_ref(header.loss_cause).compare_exchange_strong(none, cause, std::memory_order_relaxed))
        std::atomic_ref(header.loss_first_stamp).store(now(), std::memory_order_relaxed);
}

void Tracer::watch_thread_end(ThreadState& state) noexcept
{
    if (has_ending_key_) pthread_setspecific(ending_key_, &state);
}

// -- the public API --

void Tracer::mark(std::string_view text) noexcept
{
    if (t_local.in_tracer != 0 || t_local.locks_held != 0 || !recording()) return;
    constexpr size_t kMostBytes = 1000;
    if (text.size() > kMostBytes) text = head(text, kMostBytes);
    const Locked locked(state_lock);
    journal.write(format::RecordType::mark, {format::piece_of_text(text.data(), text.size())});
}

} // namespace leak::preload
