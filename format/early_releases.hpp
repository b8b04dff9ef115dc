// Releases whose stamps are a little early.
//
// A release is stamped by an instruction that may execute while the load of the very pointer is still under way, so it
// can have an earlier stamp than the allocation of the block, by another thread; allocations have exact stamps. But the
// events of an address alternate: between two allocations lies one release. So a release that finds no block is owed to
// the next allocation at its address, for as long as stamps can be early. Which of two releases belongs to which of two
// allocations makes no difference: the first block is gone, and of the second one hears next.
//
// A thread may also release a block that is not known (from before the trace) and be given the address at once. So what
// it allocates itself is not what it has released before, unless another thread's early release has taken the place of
// its own.
#pragma once

#include "format/event.hpp"
#include "format/layout.hpp"

#include <array>
#include <cstddef>
#include <cstdint>

namespace leak::format {

// Stamps that a release may be early by: a processor reads its counter ahead of a load by what a miss of all caches
// takes, below 1 µs. This is 2 to 4 µs.
[[nodiscard]] constexpr uint64_t most_early(StampClock clock) noexcept
{
    return clock == StampClock::monotonic_ns ? 1 << 11 : 1 << (13 - tsc_shift(clock));
}

// Event: has `stamp`, `thread`, `kind` and `address`. List: of events, as std::vector.
//
// One thread. Memory: the releases that wait, mostly none, and 12 KiB.
template <typename Event, typename List> class EarlyReleases {
public:
    explicit EarlyReleases(StampClock clock) noexcept : most_early_(format::most_early(clock)) {}

    [[nodiscard]] bool empty() const noexcept { return waiting_.empty(); }
    [[nodiscard]] uint64_t most_early() const noexcept { return most_early_; }
    [[nodiscard]] const List& waiting() const noexcept { return waiting_; }

    // A release that finds no block.
    void add(const Event& release) { waiting_.push_back(release); }

    // A release that has found its block.
    void note(const Event& release) noexcept { note({release.address, release.stamp, release.thread}); }
    struct Noted {
        uint64_t address = 0;
        uint64_t stamp = 0;
        decltype(Event::thread) thread{};
    };
    void note(const Noted& release) noexcept { latest_[noted_++ % kLatest] = release; }

    // Those that matter to what comes after `stamp`, latest first.
    template <typename Visit> void for_each_noted(uint64_t stamp, Visit&& visit) const
    {
        for (size_t i = noted_; i > 0 && i + kLatest > noted_; --i) {
            const Noted& release = latest_[(i - 1) % kLatest];
            if (release.stamp + 2 * most_early_ < stamp) return;
            visit(release);
        }
    }

    // Takes the release out that has waited for this allocation. False: there is none.
    [[nodiscard]] bool take_for(const Event& allocation, Event& release)
    {
        for (size_t i = 0; i < waiting_.size(); ++i)
            if (waiting_[i].address == allocation.address && allocation.stamp - waiting_[i].stamp <= most_early_ &&
                (waiting_[i].kind == EventKind::custom_free) == (allocation.kind == EventKind::custom_alloc) &&
                (waiting_[i].thread != allocation.thread || was_released_by_another(allocation))) {
                take(i, release);
                return true;
            }
        return false;
    }
    // Takes releases out for which no allocation will come, where all events before `stamp` were there (kEnd: all
    // events at all), and calls visit(release). Now and then: more than have to may stay.
    template <typename Visit> void give_up(uint64_t stamp, Visit&& visit)
    {
        if (waiting_.empty() || (stamp != kEnd && waiting_[0].stamp + 2 * most_early_ >= stamp)) return;
        size_t late = 0;
        for (; late < waiting_.size() && (stamp == kEnd || waiting_[late].stamp + most_early_ < stamp); ++late)
            visit(waiting_[late]);
        for (size_t i = late; i < waiting_.size(); ++i) waiting_[i - late] = waiting_[i];
        for (; late > 0; --late) waiting_.pop_back();
    }
    static constexpr uint64_t kEnd = UINT64_MAX;

    // Takes the release of a realloc out that the event takes back. False: it does not wait.
    [[nodiscard]] bool take_undone(const Event& undo, Event& release)
    {
        for (size_t i = waiting_.size(); i-- > 0;)
            if (waiting_[i].kind == EventKind::realloc_release && waiting_[i].address == undo.address &&
                waiting_[i].thread == undo.thread) {
                take(i, release);
                return true;
            }
        return false;
    }

private:
    static constexpr size_t kLatest = 512; // of 128 threads that release a block each 20 ns, all for some µs

    // Not long ago.
    [[nodiscard]] bool was_released_by_another(const Event& allocation) const noexcept
    {
        bool was = false;
        for_each_noted(allocation.stamp, [&](const Noted& release) {
            was |= release.address == allocation.address && release.thread != allocation.thread;
        });
        return was;
    }
    void take(size_t at, Event& release)
    {
        release = waiting_[at];
        for (size_t i = at + 1; i < waiting_.size(); ++i) waiting_[i - 1] = waiting_[i];
        waiting_.pop_back();
    }

    uint64_t most_early_;
    List waiting_; // by stamp
    std::array<Noted, kLatest> latest_{};
    size_t noted_ = 0;
};

} // namespace leak::format
