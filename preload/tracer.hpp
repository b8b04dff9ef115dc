// The state of tracing in this process, and how it starts, follows forks, fails and ends.
//
// One object, constant-initialised, because hooks run before any constructor. States and locks: ARCHITECTURE.md.
#pragma once

#include "preload/block_sampling.hpp"
#include "preload/buffer_pool.hpp"
#include "preload/clock.hpp"
#include "preload/drain.hpp"
#include "preload/fold/folder.hpp"
#include "preload/journal.hpp"
#include "preload/lock.hpp"
#include "preload/mapping_starts.hpp"
#include "preload/module_table.hpp"
#include "preload/pc_table.hpp"
#include "preload/sampler.hpp"
#include "preload/settings.hpp"
#include "preload/snapshot/root_table.hpp"
#include "preload/snapshot/snapshots.hpp"
#include "preload/thread_registry.hpp"
#include "preload/trace_file.hpp"
#include "preload/unwinder.hpp"
#include "preload/writer.hpp"

#include <atomic>
#include <cstdint>
#include <string_view>

namespace leak::preload {

enum class State : uint32_t {
    fresh,     // nothing was called yet
    off,       // this process is not traced
    dormant,   // traced, no event yet: no file
    recording, // the file exists
    stopped,   // leak_stop() or LEAK_START=off
    failed,    // no file could be had, or it can't grow: events are counted as lost
};

// In a page that the kernel wipes in a forked child (MADV_WIPEONFORK), however the fork was made: a child never writes
// into its parent's trace.
struct Control {
    // What a hook does with its event.
    enum class Mode : uint32_t {
        ask,           // looks further: begin_recording(). What a wiped page says
        record,        // records it
        record_slowly, // the same, with more to ask: LEAK_SAMPLE, or a clock that is a system call
        pass,          // nothing: recording is off
    };
    std::atomic<Mode> mode{Mode::ask};
    std::atomic<bool> is_ours{false}; // not wiped: this is the process that wrote it, or one that shares its memory
    Lock bus_lock;                    // BusGuard's: free in a child, whoever held it
};

class Tracer {
public:
    // The first test of the common event: recorded is all, with the counter's stamps, and there is nothing to begin.
    [[nodiscard]] bool records_all() const noexcept
    {
        return control_->mode.load(std::memory_order_relaxed) == Control::Mode::record;
    }
    [[nodiscard]] bool recording() noexcept
    {
        return is_recording() ||
               (control_->mode.load(std::memory_order_relaxed) != Control::Mode::pass && begin_recording());
    }
    // The same without beginning.
    [[nodiscard]] bool is_recording() const noexcept
    {
        const Control::Mode mode = control_->mode.load(std::memory_order_relaxed);
        return mode == Control::Mode::record || mode == Control::Mode::record_slowly;
    }

    // The trace is this process's own, as far as is known without a system call.
    [[nodiscard]] bool owns_trace() const noexcept
    {
        return !is_adrift() && control_->is_ours.load(std::memory_order_relaxed);
    }

    // -- the life of a process --
    void on_load(char** environment) noexcept; // our constructor: the rest of start-up that needs libc
    // exit() is running handlers; _exit. False: there is no trace, or it is told.
    [[nodiscard]] bool on_exit(int status) noexcept;
    [[nodiscard]] bool on_fast_exit(int status) noexcept;
    void before_exec(const char* path) noexcept;
    void after_failed_exec() noexcept;
    void before_fork() noexcept;
    void after_fork_in_child() noexcept;
    void before_dlclose() noexcept { code_state_.fetch_add(1, std::memory_order_seq_cst); }
    void after_dlclose() noexcept;
    void on_thread_created() noexcept;
    // Has the end of the calling thread noticed. Libc may allocate here.
    void watch_thread_end(ThreadState& state) noexcept;

    // -- the public API --
    void mark(std::string_view text) noexcept;
    void start() noexcept;
    void stop() noexcept;
    // Or about to be: switched off by a signal that no hook has come by since.
    [[nodiscard]] bool is_stopped() const noexcept
    {
        return (state() == State::stopped) != ((toggles_.load(std::memory_order_relaxed) & 1) != 0);
    }
    // LEAK_TOGGLE_SIGNAL has come.
    void on_toggle_signal() noexcept;

    // -- for the parts of the tracer --
    // The pc's id, given now if need be, and its rule. Id 0: it can't be given now. Takes the state lock.
    [[nodiscard]] PcInfo pc_info(uint64_t pc) noexcept;
    // A dlclose() is under way: what is known of code may be wrong.
    [[nodiscard]] bool is_closing() const noexcept { return code_state() % kCodeEpoch != 0; }
    // Changes whenever code was unmapped; never 0.
    [[nodiscard]] uint64_t code_epoch() const noexcept { return code_state() & ~(kCodeEpoch - 1); }
    // The same, but while a dlclose() is under way something else.
    [[nodiscard]] uint64_t code_state() const noexcept { return code_state_.load(std::memory_order_acquire); }
    // An empty raw buffer for a stream of the calling thread, waiting or compressing if there is none; nullptr: tracing
    // has failed, all buffers that the ring has room for are in the hands of threads, or must_drop(). A stream's first
    // buffer is a small one: nobody knows yet whether it will be filled.
    [[nodiscard]] RawBuffer* take_buffer(uint32_t level, bool is_first) noexcept;
    // The stream has a row in the buffer that was taken for it. Where threads keep nearly all buffers that the ring has
    // room for, the buffer is handed over at once, so that any number of threads can record, if slowly.
    void keep_or_pass_on(Stream& stream) noexcept;
    // LEAK_OVERFLOW=drop, and there is no buffer for a thread that needs one: the writer is told, and nobody waits.
    [[nodiscard]] bool must_drop() noexcept;
    // What the thread that take_buffer() gave none has to say.
    [[nodiscard]] format::LossCause loss_without_buffer() const noexcept;
    // Adds raw buffers before threads miss some. The writer, between other work.
    void add_wanted_buffers() noexcept;
    // In a child that a signal handler has made in the middle of a hook, until that hook is left: what it still does is
    // for nothing, and must not wait for anybody. (At the very end of a process no handler of ours hears of a fork.)
    [[nodiscard]] bool is_adrift() const noexcept { return adrift_.load(std::memory_order_relaxed) || is_new_child(); }
    // A slot of the file; none: tracing has failed, or, where it is for events, the ring is full at the moment.
    [[nodiscard]] Slot new_slot(format::SlotKind kind) noexcept;
    // The same for whoever extends the file. fd: as for TraceFile::add_slot().
    [[nodiscard]] Slot add_slot(format::SlotKind kind, uint32_t owner_tid, int fd) noexcept;
    // Folds old events if the ring needs their slots soon. Whoever extends the file. False: nothing was done.
    bool fold_if_due() noexcept { return file.ring().is_bounded() && folder.fold_if_due(); }
    // Somebody has cut the file: tracing ends here. The first is for signal handlers, after TraceFile::leave(); what is
    // to be said is said by the next hook.
    void note_cut_file() noexcept;
    void lose_cut_file() noexcept;
    [[nodiscard]] Lock& bus_lock() noexcept { return control_->bus_lock; }
    // Tracing ends here; says so once.
    void fail(format::LossCause cause, std::string_view what, int error) noexcept;
    // A stack that was taken by libunwind.
    void count_libunwind_stack() noexcept;
    // LEAK_UNWIND=verify: a stack that was compared with libunwind's.
    void count_verified(bool same) noexcept;
    // Writes both stacks to the journal, the first few times. theirs: innermost first.
    void note_difference(const StackWalk& ours, void* const* theirs, uint32_t their_depth, uint64_t stamp) noexcept;
    // Events that are recorded nowhere.
    void count_lost(format::LossCause cause, uint64_t events = 1) noexcept;

    [[nodiscard]] State state() const noexcept { return state_.load(std::memory_order_acquire); }
    // Whether the process was forked from a traced one.
    [[nodiscard]] bool has_parent() const noexcept { return parent_.trace_id != 0; }
    [[nodiscard]] uint64_t now() const noexcept { return clock.now(); }
    // The pid of the traced process; a child made by vfork, which shares our memory, has another.
    [[nodiscard]] uint32_t process() const noexcept { return pid_; }

    // The caller shares the traced process's memory and is not one of its threads.
    [[nodiscard]] bool is_vfork_child() const noexcept
    {
        return control_->is_ours.load(std::memory_order_relaxed) && !is_this_process();
    }

    Settings settings;
    Clock clock;
    BlockSampling sampling;
    MappingStarts mapping_starts;
    TraceFile file;
    Journal journal;     // state lock
    PcTable pcs;         // state lock, but for find()
    ModuleTable modules; // state lock
    BufferPool pool;
    Drains drains;
    Folder folder;
    Writer writer;
    Sampler sampler;
    Snapshots snapshots;
    RootTable roots;
    ThreadRegistry threads; // state lock
    Unwinder unwinder;
    Lock state_lock;

private:
    [[nodiscard]] bool begin_recording() noexcept;
    [[nodiscard]] bool begin_recording_locked() noexcept;
    void initialise() noexcept;
    [[nodiscard]] bool create_trace() noexcept;
    void write_first_records() noexcept;
    [[nodiscard]] bool add_pcs_slot() noexcept;
    [[nodiscard]] bool add_buffers() noexcept;
    [[nodiscard]] bool has_enough_buffers() const noexcept;
    // Threads can do with fewer, as long as some go round.
    [[nodiscard]] bool has_buffers_to_spare() const noexcept { return pool.count() > threads.count(); }
    [[nodiscard]] RawBuffer* take_free_buffer(bool is_first, bool may_grow) noexcept;
    void cut_large_buffers() noexcept;
    [[nodiscard]] bool is_buffer_coming(uint32_t level, bool may_wait) const noexcept;
    void want_buffers() noexcept;
    void become_child(uint64_t fork_stamp) noexcept;
    void leave_parent(uint64_t fork_stamp) noexcept;
    void settle_as_child() noexcept;
    // Not adrift, or not any more.
    [[nodiscard]] bool is_settled() noexcept;
    // The calling thread was interrupted in one.
    [[nodiscard]] static bool is_inside_hook() noexcept;
    // fail() without a word. False: it had failed before.
    bool note_failure(format::LossCause cause, std::string_view what, int error) noexcept;
    // Says what fail() was told, on a thread of the host: the writer has no standard error.
    void announce_failure() noexcept;
    void announce_limit() noexcept;
    // stamp: when the end began; what is done about it takes its time.
    void set_end(format::EndState end, int status, uint64_t stamp) noexcept;
    [[nodiscard]] bool is_this_process() const noexcept { return pid_ == os::pid(); }
    // A child that nobody has told yet: its memory is a copy.
    [[nodiscard]] bool is_new_child() const noexcept
    {
        return !control_->is_ours.load(std::memory_order_relaxed) && pid_ != 0 && !is_this_process();
    }
    // -- on and off (switching.cpp) --
    void start_reacting() noexcept; // to LEAK_TOGGLE_SIGNAL
    void enter_state(State next) noexcept;
    void renew_mode() noexcept;
    [[nodiscard]] Control::Mode mode_of_state() const noexcept;
    // Under begin_lock_, and the state lock where there is a file. may_wait: for room in the journal. False: there is
    // none, and nothing was done.
    [[nodiscard]] bool switch_recording(bool on, bool may_wait) noexcept;
    void carry_out_toggles(bool may_wait) noexcept;
    // What is known of modules that are not loaded any more. Under the state lock.
    void forget_unloaded() noexcept;

    static Control no_control_; // what control_ points to before there is a page: not recording
    Control* control_ = &no_control_;
    std::atomic<State> state_{State::fresh};
    static constexpr uint64_t kCodeEpoch = 1 << 16;
    std::atomic<uint64_t> code_state_{kCodeEpoch}; // the epoch, and below it how many dlclose() are under way
    uint32_t pid_ = 0;
    Lock begin_lock_;
    std::atomic<uint32_t> toggles_{0};             // signals to switch recording over that were not carried out yet
    Lock pool_growth_lock_;                        // adds raw buffers: one slot at a time
    std::atomic<bool> buffers_wanted_{false};      // soon: nobody waits for them yet
    std::atomic<uint32_t> passed_on_{0};           // buffers after their first event
    std::atomic<bool> lacks_address_space_{false}; // for more buffers
    Lock growth_lock_;                             // extends the file where there is no writer
    std::atomic<uint64_t> lost_early_{0};          // events lost before there was a file to count them in
    std::string_view failure_;
    int failure_error_ = 0;
    std::atomic<bool> failure_is_new_{false};
    uint32_t differences_noted_ = 0; // state lock
    std::atomic<bool> adrift_{false};
    ParentTrace parent_;
    uint64_t fork_stamp_ = 0; // taken in the parent, just before
    uint32_t ending_key_ = 0; // pthread key: its destructor marks a thread as ending
    bool has_ending_key_ = false;
};

extern constinit Tracer g_tracer;

} // namespace leak::preload
