// Which pages of the heap live blocks lie on, how much free space lies between them, and whose blocks hold it there.
//
// As glibc's malloc lays its memory out: the main arena grows from the end of the program, all others consist of heaps
// of 64 MiB at multiples of that, and large blocks are mapped one by one and go back when they are freed. One thread.
// Memory: an extent for each heap; for a picture 24 bytes a live block.
#pragma once

#include "analyzer/ids.hpp"
#include "analyzer/replay/replay.hpp"

#include <cstdint>
#include <map>
#include <span>
#include <unordered_map>
#include <vector>

namespace leak::analyzer {

inline constexpr uint64_t kPageBytes = 4096;
inline constexpr uint64_t kHeapBytes = uint64_t{64} << 20; // HEAP_MAX_SIZE of glibc's arena.c on 64 bits

// Of glibc: a large block, which the kernel gives pages of its own.
[[nodiscard]] bool is_mapped_alone(const LiveBlock& block);
// Of glibc: in the main arena's heap, which follows the program. program_end: the address behind its module.
[[nodiscard]] bool is_main_heap(uint64_t address, uint64_t program_end);

// What the blocks of one stack hold in place on sparse pages.
struct StackPins {
    uint64_t live_bytes = 0; // on sparse pages
    uint64_t live_blocks = 0;
    uint64_t pinned_free_bytes = 0; // of each page shared out among its blocks
};

// A heap of an arena, or all of the main arena, as far as blocks were ever allocated there.
struct HeapOfPages {
    uint64_t address = 0; // the lowest
    bool is_main = false; // of the main arena
    uint64_t bytes = 0;
    uint64_t live_bytes = 0;
    uint64_t pages = 0; // with live blocks
    uint64_t pinned_free_bytes = 0;
};

struct HeapPages {
    uint64_t pages = 0;                 // with live blocks
    uint64_t sparse_pages = 0;          // of them, less than half of which is live
    uint64_t free_between = 0;          // bytes on pages with live blocks, beside them
    uint64_t pinned_free_bytes = 0;     // of them, those on sparse pages
    uint64_t empty_bytes = 0;           // of pages without a live block, between the ends of each heap
    uint64_t empty_bytes_of_arenas = 0; // of them, those outside the main arena
    std::unordered_map<StackId, StackPins> stacks;
    std::vector<HeapOfPages> heaps; // by address
};

// The ends of every heap, as far as blocks were ever allocated in it.
class HeapExtents final : public Analysis {
public:
    // program_end: of the program's own module; the main arena follows it.
    explicit HeapExtents(uint64_t program_end) : program_end_(program_end) {}

    void on_allocate(const LiveBlock& block) override;

    // Arenas that served an allocation, the main one included.
    [[nodiscard]] size_t arenas() const;

    [[nodiscard]] HeapPages pages_of(std::span<const LiveBlock> blocks) const;

private:
    struct Extent {
        uint64_t lowest = UINT64_MAX;
        uint64_t end = 0;
    };

    [[nodiscard]] uint64_t heap_of(uint64_t address) const; // its number

    uint64_t program_end_;
    std::map<uint64_t, Extent> heaps_; // by number
    uint64_t last_number_ = UINT64_MAX;
    Extent* last_ = nullptr;
};

} // namespace leak::analyzer
