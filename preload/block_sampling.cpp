#include "preload/block_sampling.hpp"

#include "format/sampling.hpp"
#include "preload/os.hpp"
#include "preload/own_memory.hpp"
#include "preload/thread_local.hpp"

namespace leak::preload {

namespace {

[[nodiscard]] uint64_t number(const void* block) noexcept
{
    return reinterpret_cast<uint64_t>(block);
}

[[nodiscard]] uint64_t home_of(uint64_t address, uint64_t lines) noexcept
{
    return (address * 0x9e3779b97f4a7c15u >> 20) & (lines - 1);
}

// xorshift64* (Vigna, 2016), seeded by what differs between threads and runs.
[[nodiscard]] uint64_t next_random(uint64_t& state) noexcept
{
    if (state == 0) state = (number(&state) ^ os::clock_ns(CLOCK_MONOTONIC) * 0x9e3779b97f4a7c15u) | 1;
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return state * 0x2545f4914f6cdd1du;
}

// Bytes to the next point of the process.
[[nodiscard]] int64_t next_distance(uint64_t period) noexcept
{
    constexpr double kUnit = 1.0 / (uint64_t{1} << 53);
    const double uniform = static_cast<double>((next_random(t_local.sampling_random) >> 11) + 1) * kUnit;
    return static_cast<int64_t>(format::minus_log(uniform) * static_cast<double>(period)) + 1;
}

} // namespace

bool BlockSampling::chooses(uint64_t bytes) const noexcept
{
    int64_t& left = t_local.sampling_left;
    if (t_local.sampling_random == 0) [[unlikely]]
        left = next_distance(period_);
    constexpr uint64_t kMost = INT64_MAX / 2;
    left -= static_cast<int64_t>(bytes == 0 ? 1 : bytes < kMost ? bytes : kMost);
    if (left > 0) [[likely]]
        return false;
    left = next_distance(period_);
    return true;
}

bool BlockSampling::add(const void* block) noexcept
{
    for (;;) {
        const uint32_t tables = tables_.load(std::memory_order_acquire);
        // The newest, which has most room, first.
        for (uint32_t i = tables; i-- > 0;)
            if (add_to(table_[i], lines_of(i), number(block))) return true;
        if (!grow(tables)) return false;
    }
}

bool BlockSampling::take(const void* block) noexcept
{
    for (uint32_t i = tables_.load(std::memory_order_acquire); i-- > 0;)
        if (take_from(table_[i], lines_of(i), number(block))) return true;
    return false;
}

bool BlockSampling::add_to(Line* table, uint64_t lines, uint64_t address) noexcept
{
    const uint64_t home = home_of(address, lines);
    for (uint64_t i = 0; i < kNeighbours; ++i) {
        Line& line = table[(home + i) & (lines - 1)];
        // Before the address is there: who looks for it must not stop at home.
        if (i != 0) table[home].elsewhere.fetch_add(1, std::memory_order_relaxed);
        for (std::atomic<uint64_t>& place : line.addresses) {
            uint64_t none = 0;
            if (place.load(std::memory_order_relaxed) == 0 &&
                place.compare_exchange_strong(none, address, std::memory_order_release))
                return true;
        }
        if (i != 0) table[home].elsewhere.fetch_sub(1, std::memory_order_relaxed);
    }
    return false;
}

bool BlockSampling::take_from(Line* table, uint64_t lines, uint64_t address) noexcept
{
    const uint64_t home = home_of(address, lines);
    for (uint64_t i = 0; i < kNeighbours; ++i) {
        for (std::atomic<uint64_t>& place : table[(home + i) & (lines - 1)].addresses) {
            uint64_t found = place.load(std::memory_order_acquire);
            if (found != address || !place.compare_exchange_strong(found, 0, std::memory_order_relaxed)) continue;
            if (i != 0) table[home].elsewhere.fetch_sub(1, std::memory_order_relaxed);
            return true;
        }
        if (i == 0 && table[home].elsewhere.load(std::memory_order_relaxed) == 0) [[likely]]
            return false;
    }
    return false;
}

// tables: how many there were when none had room.
bool BlockSampling::grow(uint32_t tables) noexcept
{
    // A signal handler that interrupted this would wait for ever.
    if (t_local.locks_held != 0) return false;
    const Locked locked(growth_lock_);
    if (tables_.load(std::memory_order_relaxed) != tables) return true;
    if (tables == kMostTables) return false;
    table_[tables] = static_cast<Line*>(map_own(lines_of(tables) * sizeof(Line)));
    if (table_[tables] == nullptr) return false;
    tables_.store(tables + 1, std::memory_order_release);
    return true;
}

} // namespace leak::preload
