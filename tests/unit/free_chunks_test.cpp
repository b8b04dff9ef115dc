// Which memory counts as free in a heap that is laid out as glibc's: all of what is, and never what is not.
#include "preload/snapshot/free_chunks.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <vector>

using namespace leak::preload;

namespace {

constexpr uint64_t kWord = 8;
constexpr uint64_t kHeap = 0x5555'5556'0000;
constexpr uint64_t kLists = 0x7f00'0000'0000; // the heads, in libc
constexpr uint64_t kLeastFree = 2048;

// Chunks behind one another, the free ones in two lists.
struct Heap {
    struct Chunk {
        uint64_t at;
        uint64_t bytes;
        bool is_free;
    };
    std::vector<Chunk> chunks;
    std::vector<uint64_t> words;                      // of the heap
    std::vector<uint64_t> lists = {0, 0, 0, 0, 0, 0}; // two of them as glibc has them: chunks without sizes

    explicit Heap(unsigned seed)
    {
        std::mt19937_64 random(seed);
        const auto below = [&random](uint64_t bound) { return random() % bound; };
        uint64_t at = kHeap;
        constexpr int kChunks = 300;
        for (int i = 0; i < kChunks; ++i) {
            const uint64_t bytes = below(4) != 0 ? 32 + below(20) * 16 : 32 + below(4000) * 16;
            const bool is_free = !chunks.empty() && !chunks.back().is_free && i + 1 < kChunks && below(3) == 0;
            chunks.push_back({at, bytes, is_free});
            at += bytes;
        }
        const uint64_t end = (at + 4096 + below(100'000)) / 4096 * 4096 + 4096;
        chunks.push_back({at, end - at, true}); // what was never given out
        words.resize((end - kHeap) / kWord);
        for (uint64_t& one : words) one = kHeap + below(words.size()) * kWord; // any pointers
        for (const int list : {0, 1}) at_of(head(list) + 16) = at_of(head(list) + 24) = head(list);
        for (size_t i = 0; i < chunks.size(); ++i) {
            const Chunk& chunk = chunks[i];
            const bool is_before_used = i == 0 || !chunks[i - 1].is_free;
            at_of(chunk.at + 8) = chunk.bytes | (is_before_used ? 1 : 0);
            if (!is_before_used) at_of(chunk.at) = chunks[i - 1].bytes;
            if (chunk.is_free && i + 1 < chunks.size()) add_to_list(chunk.at, head(static_cast<int>(below(2))));
        }
    }

    [[nodiscard]] static uint64_t head(int list) { return kLists + static_cast<uint64_t>(list) * 16; }
    [[nodiscard]] uint64_t end() const { return kHeap + words.size() * kWord; }
    [[nodiscard]] uint64_t& at_of(uint64_t address)
    {
        return address >= kLists ? lists[(address - kLists) / kWord] : words[(address - kHeap) / kWord];
    }
    void add_to_list(uint64_t chunk, uint64_t list)
    {
        const uint64_t next = at_of(list + 16);
        at_of(chunk + 16) = next;
        at_of(chunk + 24) = list;
        at_of(next + 24) = chunk;
        at_of(list + 16) = chunk;
    }

    // What is taken to be in use, by words, if the memory is read in pieces.
    [[nodiscard]] std::vector<bool> used(unsigned seed) const
    {
        std::mt19937_64 random(seed);
        const auto peek = [this](uint64_t address, uint64_t& word) {
            const bool is_list = address - kLists < lists.size() * kWord;
            if (!is_list && address - kHeap >= words.size() * kWord) return false;
            word = is_list ? lists[(address - kLists) / kWord] : words[(address - kHeap) / kWord];
            return true;
        };
        FreeChunks<decltype(peek)> chunks_of_heap(peek);
        chunks_of_heap.begin(kHeap, end());
        std::vector<bool> result(words.size());
        uint64_t asked = 0, last_end = 0;
        const auto ask = [&](uint64_t at, std::span<const uint64_t> piece) {
            chunks_of_heap.for_each_used(at, piece, [&](uint64_t first, uint64_t last) {
                CHECK(first < last);
                CHECK(last <= piece.size());
                CHECK(at + first * kWord >= last_end);
                last_end = at + last * kWord;
                if (at - kHeap < words.size() * kWord)
                    std::fill(result.begin() + static_cast<ptrdiff_t>((at - kHeap) / kWord + first),
                              result.begin() + static_cast<ptrdiff_t>((at - kHeap) / kWord + last), true);
                else
                    asked += last - first;
            });
        };
        const std::vector<uint64_t> elsewhere(100, kHeap);
        ask(0x1000, elsewhere);
        for (size_t at = 0; at < words.size();) {
            // As a reader that leaves out what it knows to be free.
            const uint64_t free_end = chunks_of_heap.free_end(kHeap + at * kWord);
            CHECK(free_end >= kHeap + at * kWord);
            CHECK(free_end <= end());
            if (random() % 2 == 0 && free_end / 4096 * 4096 > kHeap + at * kWord) {
                at = (free_end / 4096 * 4096 - kHeap) / kWord;
                continue;
            }
            const size_t count = std::min<size_t>(words.size() - at, random() % 3 == 0 ? 512 : 1 + random() % 9000);
            ask(kHeap + at * kWord, std::span(words).subspan(at, count));
            at += count;
        }
        ask(kLists, elsewhere);
        CHECK(asked == 200);
        return result;
    }

    // Whether the chunk counts as in use.
    [[nodiscard]] bool counts(const std::vector<bool>& used, const Chunk& chunk) const
    {
        const auto first = used.begin() + static_cast<ptrdiff_t>((chunk.at - kHeap) / kWord);
        const auto words_of = static_cast<ptrdiff_t>(chunk.bytes / kWord);
        const auto in_use = std::count(first + 2, first + words_of, true);
        CHECK((in_use == 0 || in_use == words_of - 2));
        return in_use != 0;
    }
};

} // namespace

TEST_CASE("large free chunks are left out, and no word of another")
{
    for (unsigned seed = 0; seed < 100; ++seed) {
        CAPTURE(seed);
        const Heap heap(seed);
        const std::vector<bool> used = heap.used(seed);
        for (const Heap::Chunk& chunk : heap.chunks) {
            const bool is_top = chunk.at + chunk.bytes == heap.end();
            CHECK(heap.counts(used, chunk) == !(chunk.is_free && (chunk.bytes >= kLeastFree || is_top)));
        }
    }
}

TEST_CASE("a chunk counts as in use where anything about it contradicts that it is free")
{
    for (unsigned seed = 0; seed < 30; ++seed) {
        CAPTURE(seed);
        Heap heap(seed);
        const auto chunk = std::ranges::find_if(
            heap.chunks, [](const Heap::Chunk& one) { return one.is_free && one.bytes >= kLeastFree; });
        REQUIRE(chunk + 1 < heap.chunks.end());
        const uint64_t next = heap.at_of(chunk->at + 16), previous = heap.at_of(chunk->at + 24);
        const uint64_t behind = chunk->at + chunk->bytes;
        const auto is_in_use_after = [&](uint64_t address, uint64_t value) {
            std::swap(heap.at_of(address), value);
            CHECK(heap.counts(heap.used(seed), *chunk));
            std::swap(heap.at_of(address), value);
        };
        is_in_use_after(behind, chunk->bytes + 16);
        is_in_use_after(behind + 8, heap.at_of(behind + 8) | 1);
        is_in_use_after(chunk->at + 16, 0x1234);
        is_in_use_after(chunk->at + 16, 0x1235);
        is_in_use_after(chunk->at + 24, kHeap);
        is_in_use_after(next + 24, kHeap);
        is_in_use_after(previous + 16, kHeap);
        is_in_use_after(chunk->at + 8, heap.at_of(chunk->at + 8) + 32);
    }
}

TEST_CASE("behind what can't be a chunk all memory counts as in use")
{
    constexpr uint64_t kWrong[] = {0, 1, 17, 0x23, 0x25, 0x29, uint64_t{1} << 40 | 1, UINT64_MAX};
    for (unsigned seed = 0; seed < 30; ++seed) {
        for (const uint64_t wrong : kWrong) {
            CAPTURE(seed);
            CAPTURE(wrong);
            Heap heap(seed);
            const Heap::Chunk& chunk = heap.chunks[seed * 7];
            heap.at_of(chunk.at + 8) = wrong;
            const std::vector<bool> used = heap.used(seed);
            for (size_t i = seed * 7; i < heap.chunks.size(); ++i) CHECK(heap.counts(used, heap.chunks[i]));
        }
    }
}

TEST_CASE("what looks like a last chunk and can't be the top is in use")
{
    for (unsigned seed = 0; seed < 10; ++seed) {
        CAPTURE(seed);
        Heap heap(seed);
        const Heap::Chunk top = heap.chunks.back();
        heap.at_of(top.at + 8) = top.bytes; // behind a free chunk
        CHECK(heap.counts(heap.used(seed), top));
        // An allocator of the program's own that has the size of its memory there.
        for (const uint64_t flag : {0u, 1u}) {
            heap.at_of(kHeap + 8) = (heap.end() - kHeap) | flag;
            const std::vector<bool> used = heap.used(seed);
            CHECK(std::count(used.begin(), used.end(), false) == 0);
        }
    }
}

TEST_CASE("memory that is no heap of glibc's is in use")
{
    for (unsigned seed = 0; seed < 30; ++seed) {
        Heap heap(seed);
        std::mt19937_64 random(seed);
        for (uint64_t& word : heap.words) word = seed % 3 == 0 ? random() : seed % 3 == 1 ? random() % 4096 : 0;
        const std::vector<bool> used = heap.used(seed);
        CHECK(std::count(used.begin(), used.end(), true) > static_cast<ptrdiff_t>(used.size() * 9 / 10));
    }
}
