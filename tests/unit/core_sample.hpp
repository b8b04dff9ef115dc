// A core of a process that never was, with something of everything: for the unit tests and the fuzzer.
#pragma once

#include "tests/unit/core_builder.hpp"

namespace leak::test {

inline constexpr uint64_t kPage = 4096;
inline constexpr uint64_t kProgram = 0x400000, kHeap = 0x1000000, kUntouched = 0x2000000, kMainStack = 0x7ff000000000;
inline constexpr uint64_t kGuard = 0x7f0000000000, kStack = kGuard + kPage, kStackPages = 15;
inline constexpr uint32_t kPid = 4711;

// Words of so many pages; set(word, value) puts some.
class Words {
public:
    explicit Words(uint64_t pages) : words_(pages * kPage / 8) {}
    Words& set(uint64_t offset, uint64_t value)
    {
        words_[offset / 8] = value;
        return *this;
    }
    operator const std::vector<uint64_t>&() const { return words_; }

private:
    std::vector<uint64_t> words_;
};

// A program with data, a heap and two threads; every pointer is to another word of the heap's first page.
[[nodiscard]] inline CoreBuilder sample_core()
{
    CoreBuilder core(kPid);
    const uint64_t stack_end = kStack + kStackPages * kPage;
    core.thread(kPid, kMainStack + kPage + 512, 0x3000100)
        .thread(kPid + 1, stack_end - 2 * kPage, stack_end - 2304, kHeap + 0x10);
    core.file(kProgram, kProgram + 4 * kPage, "/bin/program")
        .file(0x500000, 0x500000 + 2 * kPage, "/lib/libleak.so")
        .file(0x600000, 0x600000 + kPage, "/data/trace.zst");
    core.segment(kProgram, PF_R | PF_X, {}, kPage)
        .segment(kProgram + kPage, PF_R, {}, kPage)
        .segment(kProgram + 2 * kPage, PF_R | PF_W, Words(2).set(0x20, kHeap + 0x20).set(0x28, kProgram + kPage))
        .segment(0x500000, PF_R | PF_W, Words(2).set(0, kHeap + 0x30))
        .segment(0x600000, PF_R | PF_W, Words(1).set(0, kHeap + 0x40))
        .segment(kHeap, PF_R | PF_W, Words(4).set(0x100, kHeap + 0x50).set(0x108, kUntouched + 8).set(0x110, 0x1234))
        .segment(kUntouched, PF_R | PF_W, {}, 16 * kPage)
        .segment(0x3000000, PF_R | PF_W, Words(1).set(0x100, kHeap + 0x60))
        .segment(kGuard, 0, {}, kPage)
        .segment(kStack, PF_R | PF_W,
                 Words(kStackPages)
                     .set(kPage, kHeap + 0x70)                           // below the stack pointer
                     .set((kStackPages - 2) * kPage - 128, kHeap + 0x80) // the red zone
                     .set((kStackPages - 2) * kPage + 8, kHeap + 0x90)
                     .set((kStackPages - 1) * kPage + 2048, kHeap + 0xa0)) // thread-local
        .segment(kMainStack, PF_R | PF_W, Words(3).set(0, kHeap + 0xb0).set(kPage + 512, kHeap + 0xc0));
    return core;
}

} // namespace leak::test
