#include "preload/fold/fold_journal.hpp"

#include <algorithm>
#include <cstring>

namespace leak::preload {

using format::RecordHeader;
using format::RecordType;

namespace {

// Of marks, and of recording switched on and off: a program may make them without end.
constexpr size_t kMostOfAKind = 2000;

[[nodiscard]] bool is_of_thread(RecordType type) noexcept
{
    return type == RecordType::thread_started || type == RecordType::thread_named || type == RecordType::thread_ended;
}
[[nodiscard]] bool is_limited(RecordType type) noexcept
{
    return type == RecordType::mark || type == RecordType::recording_started || type == RecordType::recording_stopped;
}
[[nodiscard]] uint32_t thread_of(const RecordHeader* record) noexcept
{
    format::ThreadRecord thread{};
    std::memcpy(&thread, record + 1, sizeof thread);
    return thread.thread_index;
}

// Calls visit(record, its words) for each record.
template <typename Visit> void for_each(const MappedArray<uint64_t>& words, Visit&& visit) noexcept
{
    for (size_t at = 0; at < words.size();) {
        const auto* record = reinterpret_cast<const RecordHeader*>(words.begin() + at);
        const size_t length = format::align8(record->bytes) / sizeof(uint64_t);
        visit(record, at, length);
        at += length;
    }
}

} // namespace

void FoldJournal::take(std::span<const std::byte> frame) noexcept
{
    size_t at = sizeof(format::JournalHeader);
    while (at + sizeof(RecordHeader) <= frame.size()) {
        RecordHeader header{};
        std::memcpy(&header, frame.data() + at, sizeof header);
        if (header.bytes < sizeof header || format::align8(header.bytes) > frame.size() - at) return;
        for (size_t end = at + format::align8(header.bytes); at < end; at += sizeof(uint64_t)) {
            uint64_t word = 0;
            std::memcpy(&word, frame.data() + at, sizeof word);
            words_.push_back(word);
        }
        // Half a record would be no record, and neither is what comes behind it.
        if (words_.out_of_memory()) return;
    }
}

void FoldJournal::drop_old(uint64_t stamp, const NumberTable& needed) noexcept
{
    ended_.clear();
    size_t limited = 0;
    for_each(words_, [&](const RecordHeader* record, size_t, size_t) {
        if (is_limited(record->type)) ++limited;
        if (record->type == RecordType::thread_ended && record->stamp <= stamp && !needed.has(thread_of(record)))
            ended_.push_back(thread_of(record));
    });
    std::sort(ended_.begin(), ended_.end());
    size_t kept = 0;
    for_each(words_, [&](const RecordHeader* record, size_t at, size_t length) {
        if (is_of_thread(record->type) && std::binary_search(ended_.begin(), ended_.end(), thread_of(record))) return;
        if (is_limited(record->type) && limited-- > kMostOfAKind) return;
        std::memmove(words_.begin() + kept, words_.begin() + at, length * sizeof(uint64_t));
        kept += length;
    });
    static_cast<void>(words_.resize(kept));
}

} // namespace leak::preload
