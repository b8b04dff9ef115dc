// Collects what could not be read. Bounded: a file that is damaged everywhere must not fill the memory with words.
//
// One thread; allocates.
#pragma once

#include "analyzer/replay/trace_model.hpp"

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace leak::analyzer {

class DamageLog {
public:
    void add(uint64_t offset, std::string what, uint64_t lost_events = 0)
    {
        lost_events_ += lost_events;
        if (entries_.size() < kMaxEntries) {
            entries_.push_back({offset, std::move(what), lost_events});
            return;
        }
        ++unnamed_;
        Damage& last = entries_.back();
        last.what = "this and " + std::to_string(unnamed_) + " more places are damaged";
        last.lost_events += lost_events;
    }

    void append(const DamageLog& other)
    {
        for (const Damage& entry : other.entries_) add(entry.offset, entry.what, entry.lost_events);
    }

    // What is not in it yet.
    void merge(const DamageLog& other)
    {
        for (const Damage& entry : other.entries_) {
            const auto is_same = [&](const Damage& one) {
                return one.offset == entry.offset && one.what == entry.what;
            };
            if (std::ranges::none_of(entries_, is_same)) add(entry.offset, entry.what, entry.lost_events);
        }
    }

    [[nodiscard]] bool empty() const { return entries_.empty(); }
    [[nodiscard]] const std::vector<Damage>& entries() const { return entries_; }
    // Of all damage, named or not; only where it is known.
    [[nodiscard]] uint64_t lost_events() const { return lost_events_; }

private:
    static constexpr size_t kMaxEntries = 200;
    std::vector<Damage> entries_;
    uint64_t unnamed_ = 0;
    uint64_t lost_events_ = 0;
};

} // namespace leak::analyzer
