// Which memory glibc's malloc has free in its main heap: what was left behind there is no pointer of the program's. Of
// a program that frees what it had before it ends that leaves out nearly all words.
//
// In the copy alone. Chunk by chunk from the start of the heap (glibc, malloc/malloc.c, "Vital statistics"):
//
//   chunk      bytes of the chunk before, if that is free
//   chunk + 8  bytes, a multiple of 16 | 1: the chunk before is in use | 2: mapped alone | 4: of another arena
//   chunk + 16 the block; of a free chunk: the next one of its list
//   chunk + 24                             the one before
//
// The last chunk is what has never been given out; the one before it is in use. A chunk counts as free only if the one
// behind it says so, too, and its neighbours in the list lead back to it: so a heap that is not glibc's, or was
// overwritten, or in which a thread was at work, loses nothing. Where a chunk can't be one the walk ends, and what
// follows counts as in use, as small free chunks do, and those of other arenas.
#pragma once

#include "format/range_set.hpp"

#include <cstdint>
#include <span>

namespace leak::preload {

// Peek: bool(uint64_t address, uint64_t& word) noexcept, reads a word of memory; false: it can't.
template <typename Peek> class FreeChunks {
public:
    explicit FreeChunks(const Peek& peek) noexcept : peek_(peek) {}

    // The heap in [begin, end).
    void begin(uint64_t begin, uint64_t end) noexcept
    {
        next_ = heap_begin_ = begin;
        heap_end_ = end;
    }

    // Calls visit(first, last) for each stretch of `words` that is in use, or may be; they lie at `at`, behind those of
    // the calls before.
    template <typename Visit> void for_each_used(uint64_t at, std::span<const uint64_t> words, Visit&& visit) noexcept
    {
        at_ = at;
        words_ = words;
        const uint64_t end = at + words.size_bytes();
        if (next_ < at) next_ = kNone; // its head was not to be had
        for (uint64_t from = at; from < end;) {
            if (free_.has(from)) {
                from = free_.end < end ? free_.end : end;
                continue;
            }
            find_free(end);
            const uint64_t to = free_.begin > from && free_.begin < end ? free_.begin : end;
            visit((from - at) / kWord, (to - at) / kWord);
            from = to;
        }
    }

    // To where all is free from `at` on, as far as is known; `at`: nowhere.
    [[nodiscard]] uint64_t free_end(uint64_t at) const noexcept { return free_.has(at) ? free_.end : at; }

private:
    static constexpr uint64_t kWord = sizeof(uint64_t);
    static constexpr uint64_t kNone = UINT64_MAX;
    static constexpr uint64_t kHead = 2 * kWord;
    static constexpr uint64_t kLeastChunk = 4 * kWord;
    // To look at a list costs two system calls, which smaller ones are not worth.
    static constexpr uint64_t kLeastFree = 2048;
    static constexpr uint64_t kIsBeforeUsed = 1, kFlags = 7;

    // The next free chunk whose head lies before `end`, if there is one.
    void find_free(uint64_t end) noexcept
    {
        while (next_ < end) {
            const uint64_t chunk = next_;
            uint64_t head = 0;
            const bool is_known = word(chunk + kWord, head);
            const uint64_t bytes = head & ~kFlags;
            if (!is_known || bytes < kLeastChunk || bytes % kHead != 0 || (head & kFlags & ~kIsBeforeUsed) != 0 ||
                bytes > heap_end_ - chunk) {
                next_ = kNone;
                return;
            }
            next_ = chunk + bytes;
            const bool is_last = next_ == heap_end_;
            // What another allocator has at the start of its memory may look like the only chunk of a heap.
            const bool is_top = is_last && chunk != heap_begin_ && (head & kIsBeforeUsed) != 0;
            if (!is_top && (is_last || !is_free(chunk, bytes))) continue;
            free_ = {chunk + kHead, next_};
            return;
        }
    }

    [[nodiscard]] bool is_free(uint64_t chunk, uint64_t bytes) noexcept
    {
        if (bytes < kLeastFree) return false;
        uint64_t before = 0, head = 0, next = 0, previous = 0, of_next = 0, of_previous = 0;
        return word(chunk + bytes + kWord, head) && (head & kIsBeforeUsed) == 0 && word(chunk + bytes, before) &&
               before == bytes && word(chunk + kHead, next) && word(chunk + kHead + kWord, previous) &&
               word(next + kHead + kWord, of_next) && of_next == chunk && word(previous + kHead, of_previous) &&
               of_previous == chunk;
    }

    [[nodiscard]] bool word(uint64_t address, uint64_t& value) noexcept
    {
        if (address % kWord != 0) return false;
        if (address - at_ >= words_.size_bytes()) return peek_(address, value);
        value = words_[(address - at_) / kWord];
        return true;
    }

    Peek peek_;
    uint64_t next_ = kNone; // the chunk to look at next; kNone: there are no more
    uint64_t heap_begin_ = 0;
    uint64_t heap_end_ = 0;
    format::AddressSpan free_; // the last free chunk, without its head
    uint64_t at_ = 0;          // where the words are that were read
    std::span<const uint64_t> words_;
};

} // namespace leak::preload
