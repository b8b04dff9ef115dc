// Recording on and off: by leak_start() and leak_stop(), and by a signal (LEAK_TOGGLE_SIGNAL).
//
// The signal's handler may interrupt any code of the host, of the real allocator or of ours. So it counts the request,
// sets the mode that leads the next hook of any thread here, and only where the thread holds no lock of ours and is not
// in a hook tries to carry it out at once: both locks are only tried, nothing is waited for, and the record must fit
// into the journal as it is. Whoever holds one of the locks, or finds the request first, need not know: the mode is set
// by renew_mode(), which looks for requests after its store, as the handler stores the mode after the request.
#include "preload/os.hpp"
#include "preload/signal_action.hpp"
#include "preload/tracer.hpp"

namespace leak::preload {

using Mode = Control::Mode;

Mode Tracer::mode_of_state() const noexcept
{
    if (is_adrift()) return Mode::ask;
    switch (state()) {
    case State::recording:
        return sampling.is_on() || !clock.is_counter() ? Mode::record_slowly : Mode::record;
    case State::stopped:
    case State::off:
        return Mode::pass;
    default:
        return Mode::ask;
    }
}

// Any thread, at any time: of two whose stores cross the last one to look finds what the other one did, and "ask" is
// right whatever the state is.
void Tracer::renew_mode() noexcept
{
    const Mode mode = mode_of_state();
    control_->mode.store(mode, std::memory_order_seq_cst);
    if (toggles_.load(std::memory_order_seq_cst) != 0 || mode_of_state() != mode)
        control_->mode.store(Mode::ask, std::memory_order_seq_cst);
}

void Tracer::enter_state(State next) noexcept
{
    state_.store(next, std::memory_order_seq_cst);
    renew_mode();
}

bool Tracer::switch_recording(bool on, bool may_wait) noexcept
{
    State was = state();
    if (on ? was != State::stopped : was != State::recording && was != State::dormant) return true;
    if (file.exists()) {
        const auto type = on ? format::RecordType::recording_started : format::RecordType::recording_stopped;
        if (may_wait)
            journal.write(type, {});
        else if (!journal.try_write(type))
            return false;
    }
    const State next = !on ? State::stopped : file.exists() ? State::recording : State::dormant;
    if (state_.compare_exchange_strong(was, next, std::memory_order_seq_cst)) renew_mode(); // or it has failed
    return true;
}

void Tracer::stop() noexcept
{
    if (state() == State::fresh) static_cast<void>(recording());
    if (!is_settled()) return;
    const Locked locked(begin_lock_);
    const Locked records(state_lock);
    static_cast<void>(switch_recording(false, true));
}

void Tracer::start() noexcept
{
    if (!is_settled()) return;
    const Locked locked(begin_lock_);
    const Locked records(state_lock);
    static_cast<void>(switch_recording(true, true));
}

// -- by a signal --

void Tracer::start_reacting() noexcept
{
    const int signal = settings.toggle_signal;
    // A handler that the program was given before is more important.
    if (signal == 0 || get_action(signal).has_function()) return;
    set_action(signal, action_of([](int, siginfo_t*, void*) { g_tracer.on_toggle_signal(); }, SA_RESTART | SA_ONSTACK));
}

void Tracer::on_toggle_signal() noexcept
{
    if (is_vfork_child()) return; // its parent is sent a signal of its own
    toggles_.fetch_add(1, std::memory_order_seq_cst);
    control_->mode.store(Mode::ask, std::memory_order_seq_cst);
    if (is_new_child() || is_adrift() || is_inside_hook() || t_local.in_tracer != 0) return;
    if (!begin_lock_.try_lock()) return;
    if (state_lock.try_lock()) {
        carry_out_toggles(false);
        state_lock.unlock();
    }
    begin_lock_.unlock();
}

void Tracer::carry_out_toggles(bool may_wait) noexcept
{
    const uint32_t asked = toggles_.exchange(0, std::memory_order_seq_cst);
    if ((asked & 1) != 0 && !switch_recording(state() == State::stopped, may_wait))
        toggles_.fetch_add(asked, std::memory_order_seq_cst); // the next hook has time
    renew_mode();
}

} // namespace leak::preload
