// What the tests of retention share: the memory of a process, made by hand.
#pragma once

#include "analyzer/analysis/reachability.hpp"
#include "analyzer/replay/replay.hpp"

#include <algorithm>
#include <cstdint>

namespace leak::test {

inline constexpr uint64_t kPage = 4096;
inline constexpr uint64_t kMebibyte = 1 << 20;

// A process with some global variables, constants (virtual tables), and 1 GiB of heap, no page of which was touched.
class HandMadeMemory {
public:
    static constexpr uint64_t kGlobals = 0x555555600000;
    static constexpr uint64_t kConstants = 0x555555500000;
    static constexpr uint64_t kHeap = 0x7f0000000000;
    static constexpr uint64_t kStack = 0x7fff00000000;

    HandMadeMemory()
    {
        view_.image.areas = {{kConstants, kMebibyte, format::AreaKind::read_only, 1},
                             {kGlobals, kMebibyte, format::AreaKind::module_data, 1},
                             {kHeap, 1024 * kMebibyte, format::AreaKind::anonymous, 0},
                             {kStack, kMebibyte, format::AreaKind::stack, 4711}};
    }

    // The address of a new block.
    uint64_t block(uint64_t bytes, uint32_t stack = 1, format::EventKind kind = format::EventKind::malloc_)
    {
        return block_at(next_, bytes, stack, kind);
    }
    uint64_t block_at(uint64_t address, uint64_t bytes, uint32_t stack = 1,
                      format::EventKind kind = format::EventKind::malloc_)
    {
        analyzer::LiveBlock one;
        one.address = address;
        one.bytes = bytes;
        one.stack = analyzer::StackId{stack};
        one.kind = kind;
        one.stamp = view_.blocks.size() + 1;
        view_.blocks.push_back(one);
        next_ = std::max(next_, (address + bytes) / kPage * kPage + kPage + 16);
        return address;
    }
    // A word of memory.
    HandMadeMemory& word(uint64_t address, uint64_t value)
    {
        auto& words = view_.image.words;
        words.insert(std::ranges::upper_bound(words, address, {}, &format::SnapshotWord::address), {address, value});
        return *this;
    }
    HandMadeMemory& global(uint64_t value) { return word(kGlobals + 8 * ++globals_, value); }
    HandMadeMemory& touch(uint64_t address, uint64_t bytes)
    {
        view_.image.resident.push_back({address / kPage, (bytes + kPage - 1) / kPage});
        return *this;
    }
    HandMadeMemory& unwritten(uint64_t address, uint64_t bytes, int64_t since_ns)
    {
        view_.unwritten.push_back({{address / kPage, bytes / kPage}, since_ns});
        return *this;
    }
    [[nodiscard]] analyzer::MemoryView& view() { return view_; }
    [[nodiscard]] uint64_t last_global() const { return kGlobals + 8 * globals_; }

private:
    analyzer::MemoryView view_;
    uint64_t next_ = kHeap + 16;
    uint64_t globals_ = 0;
};

} // namespace leak::test
