// What is known of each stack since the start: totals, lifetimes, and a history of bounded size.
//
// Both who folds events in the host and who replays them keep these accounts, by the same code, so that a trace that
// has wrapped says what one that has not would say. One thread. Array is a growing array (std::vector, MappedArray).
// Memory: 136 bytes a stack, 72 for each eight neighbouring lifetimes that it has, 40 a point of the history.
#pragma once

#include "format/layout.hpp"

#include <bit>
#include <cstddef>
#include <cstdint>

namespace leak::format {

// Blocks and their bytes.
struct Amount {
    uint64_t blocks;
    uint64_t bytes;
};

struct StackTotals {
    uint64_t allocations = 0; // heap blocks and mapped ranges
    uint64_t allocated_bytes = 0;
    uint64_t releases = 0; // of heap blocks
    uint64_t released_bytes = 0;
    uint64_t temporary_allocations = 0;
    uint64_t peak_bytes = 0; // most live bytes at any time
    // Blocks that are known by this stack alone, because the ring had no room for each; they count as live.
    uint64_t unlisted_blocks = 0;
    uint64_t unlisted_bytes = 0;
    uint64_t unlisted_first_stamp = 0;
    uint64_t unlisted_last_stamp = 0;
    uint64_t unlisted_kind = 0; // EventKind of the last one
    uint64_t live_blocks = 0;   // of the heap
    uint64_t live_bytes = 0;
    uint64_t moving_blocks = 0; // released by a realloc that has not returned: the history has them as live
    uint64_t moving_bytes = 0;
    uint32_t changed = 0;   // tick of the last change + 1; 0: never
    uint32_t lifetimes = 0; // the first of its windows, from 1; 0: none
};

// The first tick of a history: 1 to 2 ms.
[[nodiscard]] constexpr unsigned history_tick_log2(StampClock clock) noexcept
{
    return clock == StampClock::monotonic_ns ? 20 : 22 - tsc_shift(clock);
}

// How things stood at the end of a tick. A tick without a point is like the one before it.
struct HistoryPoint {
    uint32_t account;
    uint32_t tick;
    uint64_t live_bytes;
    uint64_t live_blocks; // of the heap
    uint64_t allocated_bytes;
    uint64_t events; // allocations and releases
};

// Lifetimes are counted by the logarithm to base 2 of the stamps between allocation and release: bucket k has those of
// at least 2^k stamps (bucket 0: also of 0).
inline constexpr uint32_t kLifetimeBuckets = 64;
[[nodiscard]] constexpr uint32_t lifetime_bucket(uint64_t stamps) noexcept
{
    return stamps < 2 ? 0 : static_cast<uint32_t>(std::bit_width(stamps)) - 1;
}

template <template <typename> typename Array> class StackAccounts {
public:
    // Accounts of the whole process; those of stacks follow.
    static constexpr uint32_t kHeap = 0;
    static constexpr uint32_t kMapped = 1;
    static constexpr uint32_t kFirstStack = 2;

    // Once. A tick of the history is 2^tick_log2 stamps, counted from `origin`. When there are `most_points`, ticks
    // are joined in pairs until half of them will do.
    void begin(uint64_t origin, unsigned tick_log2, size_t most_points) noexcept
    {
        origin_ = origin;
        tick_log2_ = tick_log2;
        most_points_ = most_points;
        for (uint32_t i = 0; i < kFirstStack; ++i) accounts_.push_back({});
    }

    // A new account; its number.
    [[nodiscard]] uint32_t open() noexcept
    {
        accounts_.push_back({});
        return static_cast<uint32_t>(accounts_.size() - 1);
    }
    [[nodiscard]] StackTotals& operator[](uint32_t account) noexcept { return accounts_[account]; }
    [[nodiscard]] const StackTotals& operator[](uint32_t account) const noexcept { return accounts_[account]; }
    [[nodiscard]] uint32_t size() const noexcept { return static_cast<uint32_t>(accounts_.size()); }

    // -- What happens to an account, at `stamp` --

    void allocate(uint32_t account, Amount amount, uint64_t stamp) noexcept
    {
        for (const uint32_t one : {account, kHeap}) {
            StackTotals& totals = touch(one, stamp);
            totals.allocations += amount.blocks;
            totals.allocated_bytes += amount.bytes;
            add_live(totals, amount);
        }
    }
    // lifetime: in stamps.
    void release(uint32_t account, Amount amount, uint64_t lifetime, bool is_temporary, uint64_t stamp) noexcept
    {
        for (const uint32_t one : {account, kHeap}) {
            StackTotals& totals = touch(one, stamp);
            totals.releases += amount.blocks;
            totals.released_bytes += amount.bytes;
            if (is_temporary) totals.temporary_allocations += amount.blocks;
            drop_live(totals, amount);
        }
        lifetime_count(account, lifetime_bucket(lifetime)) += amount.blocks;
    }
    // The release turned out not to have happened.
    void take_back(uint32_t account, Amount amount, uint64_t lifetime, uint64_t stamp) noexcept
    {
        for (const uint32_t one : {account, kHeap}) {
            StackTotals& totals = touch(one, stamp);
            totals.releases -= amount.blocks;
            totals.released_bytes -= amount.bytes;
            add_live(totals, amount);
        }
        lifetime_count(account, lifetime_bucket(lifetime)) -= amount.blocks;
    }
    // What a realloc has just released: one large block that grows must not seem to be gone when a tick ends while it
    // is moved. Then, at its stream's next event: the realloc has returned.
    void depart(uint32_t account, Amount amount) noexcept
    {
        for (const uint32_t one : {account, kHeap}) {
            accounts_[one].moving_blocks += amount.blocks;
            accounts_[one].moving_bytes += amount.bytes;
        }
    }
    void arrive(uint32_t account, Amount amount, uint64_t stamp) noexcept
    {
        for (const uint32_t one : {account, kHeap}) {
            StackTotals& totals = touch(one, stamp);
            totals.moving_blocks -= amount.blocks;
            totals.moving_bytes -= amount.bytes;
        }
    }
    // Gone, although no release was seen.
    void drop(uint32_t account, Amount amount, uint64_t stamp) noexcept
    {
        drop_live(touch(account, stamp), amount);
        drop_live(touch(kHeap, stamp), amount);
    }
    void map(uint32_t account, Amount amount, uint64_t stamp) noexcept
    {
        for (const uint32_t one : {account, kMapped}) {
            StackTotals& totals = touch(one, stamp);
            totals.allocations += amount.blocks;
            totals.allocated_bytes += amount.bytes;
            add_live(totals, {0, amount.bytes});
        }
    }
    void unmap(uint32_t account, uint64_t bytes, uint64_t stamp) noexcept
    {
        drop_live(touch(account, stamp), {0, bytes});
        drop_live(touch(kMapped, stamp), {0, bytes});
    }
    // The unmapping turned out not to have happened.
    void map_again(uint32_t account, uint64_t bytes, uint64_t stamp) noexcept
    {
        add_live(touch(account, stamp), {0, bytes});
        add_live(touch(kMapped, stamp), {0, bytes});
    }

    // -- Lifetimes --

    // Of a bucket; 0 is added where there was none.
    [[nodiscard]] uint64_t& lifetime_count(uint32_t account, uint32_t bucket) noexcept
    {
        const uint32_t first = bucket / kWindow * kWindow;
        uint32_t* link = &accounts_[account].lifetimes;
        while (*link != 0 && windows_[*link - 1].first_bucket != first) link = &windows_[*link - 1].next;
        if (*link == 0) {
            const size_t before = windows_.size();
            // Not through `link`, which the new one may move.
            Window window{};
            window.first_bucket = first;
            window.next = accounts_[account].lifetimes;
            windows_.push_back(window);
            if (windows_.size() == before) return spare_;
            accounts_[account].lifetimes = static_cast<uint32_t>(before + 1);
            link = &accounts_[account].lifetimes;
        }
        return windows_[*link - 1].counts[bucket % kWindow];
    }
    // Calls visit(bucket, count) for every count that is not 0, in no order.
    template <typename Visit> void for_each_lifetime(uint32_t account, Visit&& visit) const noexcept
    {
        for (uint32_t at = accounts_[account].lifetimes; at != 0; at = windows_[at - 1].next)
            for (uint32_t i = 0; i < kWindow; ++i)
                if (const uint64_t count = windows_[at - 1].counts[i]; count != 0)
                    visit(windows_[at - 1].first_bucket + i, count);
    }

    // -- History --

    // How the account stands since its last change, which there must have been.
    [[nodiscard]] HistoryPoint state_of(uint32_t account) const noexcept
    {
        const StackTotals& totals = accounts_[account];
        return {account,
                totals.changed - 1,
                totals.live_bytes + totals.moving_bytes,
                totals.live_blocks + totals.moving_blocks,
                totals.allocated_bytes,
                totals.allocations + totals.releases};
    }
    // Of all accounts, without how they stand now; those of one account are in order of time.
    [[nodiscard]] const Array<HistoryPoint>& points() const noexcept { return points_; }
    [[nodiscard]] uint64_t origin() const noexcept { return origin_; }
    [[nodiscard]] unsigned tick_log2() const noexcept { return tick_log2_; }

    // Adds a point that was kept elsewhere; of one account in order of time.
    void add_point(const HistoryPoint& point) noexcept { points_.push_back(point); }

    // Makes ticks twice as long: of two the state at the end of the later one stays.
    void coarsen() noexcept
    {
        ++tick_log2_;
        Array<uint32_t> later; // tick of what was kept of the account behind this point
        for (StackTotals& totals : accounts_) {
            if (totals.changed != 0) totals.changed = (totals.changed - 1) / 2 + 1;
            later.push_back(totals.changed - 1);
        }
        if (later.size() != accounts_.size()) return;
        constexpr uint32_t kGone = UINT32_MAX;
        for (size_t i = points_.size(); i-- > 0;) {
            HistoryPoint& point = points_[i];
            point.tick /= 2;
            if (later[point.account] == point.tick)
                point.account = kGone;
            else
                later[point.account] = point.tick;
        }
        size_t kept = 0;
        for (const HistoryPoint& point : points_)
            if (point.account != kGone) points_[kept++] = point;
        static_cast<void>(points_.resize(kept));
    }

    // Calls visit(array) for each array that it is made of.
    template <typename Visit> void for_each_array(Visit&& visit) const noexcept
    {
        visit(accounts_);
        visit(windows_);
        visit(points_);
    }

private:
    static constexpr uint32_t kWindow = 8;
    static constexpr uint32_t kMostTicks = UINT32_MAX / 2;

    // Counts of neighbouring buckets.
    struct Window {
        uint64_t counts[kWindow];
        uint32_t first_bucket;
        uint32_t next; // of the same account, from 1
    };

    // The account's totals, which are about to change: what they were goes into the history if that was in an earlier
    // tick. Events that come late count as of the last one.
    [[nodiscard]] StackTotals& touch(uint32_t account, uint64_t stamp) noexcept
    {
        StackTotals& totals = accounts_[account];
        const uint64_t tick = (stamp > origin_ ? stamp - origin_ : 0) >> tick_log2_;
        if (tick + 1 > totals.changed) [[unlikely]]
            move_on(account, stamp);
        return totals;
    }
    [[gnu::noinline]] void move_on(uint32_t account, uint64_t stamp) noexcept
    {
        StackTotals& totals = accounts_[account];
        const uint64_t since = stamp > origin_ ? stamp - origin_ : 0;
        while (since >> tick_log2_ >= kMostTicks) coarsen();
        if (points_.size() >= most_points_)
            while (points_.size() > most_points_ / 2 && tick_log2_ < 60) coarsen();
        const auto changed = static_cast<uint32_t>((since >> tick_log2_) + 1);
        if (changed <= totals.changed) return;
        if (totals.changed != 0) points_.push_back(state_of(account));
        totals.changed = changed;
    }
    static void add_live(StackTotals& totals, Amount amount) noexcept
    {
        totals.live_blocks += amount.blocks;
        totals.live_bytes += amount.bytes;
        if (totals.live_bytes > totals.peak_bytes) totals.peak_bytes = totals.live_bytes;
    }
    static void drop_live(StackTotals& totals, Amount amount) noexcept
    {
        totals.live_blocks -= amount.blocks;
        totals.live_bytes -= amount.bytes;
    }

    uint64_t origin_ = 0;
    unsigned tick_log2_ = 0;
    size_t most_points_ = 0;
    Array<StackTotals> accounts_;
    Array<Window> windows_;
    Array<HistoryPoint> points_;
    uint64_t spare_ = 0; // when there is no memory
};

} // namespace leak::format
