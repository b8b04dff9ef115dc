// How tracing follows the life of the host: load, threads, fork, exec, dlclose, exit.
#include "preload/message.hpp"
#include "preload/os.hpp"
#include "preload/own_thread.hpp"
#include "preload/tracer.hpp"

#include <cstdlib>
#include <link.h>
#include <pthread.h>

extern char** environ;

namespace leak::preload {

namespace {

// Our own code calls libc: what that allocates is not the host's doing.
class InTracer {
public:
    InTracer() noexcept { ++t_local.in_tracer; }
    ~InTracer() { --t_local.in_tracer; }
    InTracer(const InTracer&) = delete;
    InTracer& operator=(const InTracer&) = delete;
};

} // namespace

void Tracer::on_load(char** environment) noexcept
{
    {
        const Locked locked(begin_lock_);
        if (state() == State::fresh) {
            const InTracer in_tracer;
            initialise();
        }
    }
    if (state() == State::off) return;
    if (!settings.children) disown_children(environment);
    const InTracer in_tracer;
    pthread_atfork([] { g_tracer.before_fork(); }, nullptr, [] { g_tracer.after_fork_in_child(); });
    ::on_exit(
        [](int status, void*) {
            if (g_tracer.on_exit(status)) g_tracer.snapshots.take_here(format::SnapshotReason::exit);
        },
        nullptr);
    ::at_quick_exit([] { g_tracer.snapshots.take_here(format::SnapshotReason::fast_exit); });
    // The loader's lock is ours already: it is running constructors.
    ::dl_iterate_phdr(
        [](dl_phdr_info* info, size_t, void*) {
            for (unsigned i = 0; i < info->dlpi_phnum; ++i) {
                if (info->dlpi_phdr[i].p_type != PT_LOAD) continue;
                const Locked locked(g_tracer.state_lock);
                static_cast<void>(
                    g_tracer.modules.index_of(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr, false, &g_tracer.journal));
                break;
            }
            return 0;
        },
        nullptr);
}

void Tracer::set_end(format::EndState end, int status, uint64_t stamp) noexcept
{
    if (!file.exists() || !is_this_process()) return;
    format::FileHeader& header = file.header();
    file.note_time(clock);
    header.end_stamp = stamp;
    header.exit_status = status;
    std::atomic_ref(header.end_state).store(end, std::memory_order_release);
}

bool Tracer::on_exit(int status) noexcept
{
    if (!file.exists() || !is_this_process()) return false;
    const uint64_t began = now();
    announce_limit();
    announce_failure(); // perhaps no hook has come by since
    sampler.take_last(true);
    set_end(format::EndState::exit_started, status, began);
    if (settings.min_events != 0) {
        const Locked locked(state_lock);
        if (threads.event_count() < settings.min_events) {
            os::remove(file.path().c_str());
            return false;
        }
    }
    if (settings.verbose || standard_error_is_terminal()) say({"the trace is ", file.path().view()});
    return true;
}

bool Tracer::on_fast_exit(int status) noexcept
{
    // exit() itself ends in _exit(): what it said holds.
    if (!file.exists() || file.header().end_state == format::EndState::exit_started) return false;
    const uint64_t began = now();
    if (is_this_process()) sampler.take_last(false);
    set_end(format::EndState::fast_exit, status, began);
    return true;
}

void Tracer::before_exec(const char* path) noexcept
{
    if (!is_this_process()) return;                                      // a vfork child: the memory is its parent's
    if (!settings.children && state() != State::off) own_again(environ); // a forked child stays disowned
    if (!file.exists()) return;
    if (path != nullptr) {
        const Locked locked(state_lock);
        journal.write(format::RecordType::exec, {format::piece_of_text(path, std::string_view(path).size())});
    }
    const uint64_t began = now();
    sampler.take_last(false);
    set_end(format::EndState::exec, 0, began);
}

void Tracer::after_failed_exec() noexcept
{
    if (!is_this_process()) return;
    if (!settings.children && state() != State::off) disown_children(environ);
    set_end(format::EndState::open, 0, now());
}

void Tracer::before_fork() noexcept
{
    fork_stamp_ = now();
    clock.beat();
}

void Tracer::after_fork_in_child() noexcept
{
    if (pid_ != 0 && !is_this_process()) become_child(fork_stamp_);
}

bool Tracer::is_inside_hook() noexcept
{
    return t_local.level != 0 || t_local.locks_held != 0 || t_local.beginning;
}

// The child has one thread and a copy of everything, in whatever state the parent's other threads had left it, so
// nothing is read but what never changes, and all else is made new. It gets a file at its first event.
void Tracer::become_child(uint64_t fork_stamp) noexcept
{
    leave_parent(fork_stamp);
    // A signal handler that forked inside one of our hooks returns into it.
    if (!is_inside_hook()) settle_as_child();
}

// What can't wait: nothing that is done from here on reaches the parent's trace, and nothing waits for threads that are
// not here.
void Tracer::leave_parent(uint64_t fork_stamp) noexcept
{
    if (file.exists() && !adrift_.load(std::memory_order_relaxed)) {
        parent_.trace_id = file.header().trace_id;
        parent_.pid = pid_;
        parent_.fork_stamp = fork_stamp;
        parent_.path = file.path();
    }
    adrift_.store(true, std::memory_order_relaxed);
    renew_mode();
    file.cut_loose();
    // What this thread holds it gives back when the handler returns (t_local.locks_held).
    state_lock.reset();
    begin_lock_.reset();
    pool_growth_lock_.reset();
    growth_lock_.reset();
    pool.unlock();
    threads.unlock();
    drains.unlock();
    file.ring().unlock();
    writer.reset();
    sampler.unlock();
    snapshots.leave_parent();
    sampling.unlock();
    // The event of each hook that was interrupted.
    lost_early_.fetch_add(t_local.level, std::memory_order_relaxed);
}

// The rest, once no hook is using it.
void Tracer::settle_as_child() noexcept
{
    const State was = state();
    pid_ = os::pid();
    control_->is_ours.store(true, std::memory_order_relaxed);
    adrift_.store(false, std::memory_order_relaxed);
    file.reset();
    g_block_regions.begin_child(threads.used_indexes());
    threads.reset();
    t_local.state = nullptr;
    modules.look_again();
    pool.reset();
    buffers_wanted_.store(false, std::memory_order_relaxed);
    lacks_address_space_.store(false, std::memory_order_relaxed);
    drains.reset();
    folder.reset();
    writer.reset(); // again: what was interrupted may have noted that it had started the thread, which is the parent's
    sampler.reset();
    snapshots.reset();
    forget_own_threads();
    pcs.reset();
    code_state_.store(code_epoch(), std::memory_order_relaxed);
    if (!settings.children)
        enter_state(State::off);
    else
        enter_state(was == State::recording || was == State::failed ? State::dormant : was);
}

bool Tracer::is_settled() noexcept
{
    // A child of a fork that no handler saw (clone, _Fork): the kernel has wiped the control page.
    if (!adrift_.load(std::memory_order_relaxed) && is_new_child()) leave_parent(now());
    if (!is_adrift()) [[likely]]
        return true;
    if (is_inside_hook()) return false;
    settle_as_child();
    return true;
}

void Tracer::after_dlclose() noexcept
{
    if (t_local.in_tracer == 0 && t_local.locks_held == 0) {
        const Locked locked(state_lock);
        forget_unloaded();
    }
    // Of a child that was forked in a destructor that dlclose() runs, none counts.
    if (is_closing()) code_state_.fetch_sub(1, std::memory_order_seq_cst);
}

void Tracer::forget_unloaded() noexcept
{
    bool unloaded = false;
    modules.drop_unloaded([&](uint32_t index) {
        unloaded = true;
        journal.write(format::RecordType::module_unloaded, {format::piece_of(index)});
        pcs.forget_module(index);
    });
    if (!unloaded) return;
    unwinder.forget_code();
    code_state_.fetch_add(kCodeEpoch, std::memory_order_release);
}

void Tracer::on_thread_created() noexcept
{
    if (!file.exists() || !is_this_process()) return;
    std::atomic_ref(file.header().threads_created).fetch_add(1, std::memory_order_relaxed);
}

} // namespace leak::preload
