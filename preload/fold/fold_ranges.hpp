// The mmapped ranges that are live at the fold's moment, by address; they don't overlap.
//
// One thread. 32 bytes a range, in order of their addresses. What is mapped or unmapped but was never seen to be mapped
// is told of: in a forked child it may be its parent's.
#pragma once

#include "preload/fold/fold_block.hpp"
#include "preload/mapped_array.hpp"

namespace leak::preload {

class FoldRanges {
public:
    // Adds a range; what lay there before goes (MAP_FIXED) and is added to `replaced`.
    void map(const FoldBlock& range, MappedArray<FoldBlock>& replaced) noexcept;

    // Takes [address, address + bytes), rounded up to whole pages, out of the ranges it meets; the pieces are added to
    // `pieces`. Returns how many bytes of it no range had.
    uint64_t unmap(uint64_t address, uint64_t bytes, MappedArray<FoldBlock>& pieces) noexcept;

    // Puts a piece back that unmap() took; joins what was one range. False: something else was mapped there since.
    bool restore(const FoldBlock& piece) noexcept;

    [[nodiscard]] uint64_t bytes() const noexcept { return bytes_; }
    [[nodiscard]] const MappedArray<FoldBlock>& all() const noexcept { return ranges_; }
    [[nodiscard]] bool out_of_memory() const noexcept { return ranges_.out_of_memory(); }

private:
    // The first range that ends behind `address`.
    [[nodiscard]] size_t first_behind(uint64_t address) const noexcept;
    void insert(size_t at, const FoldBlock& range) noexcept;
    void join(size_t left) noexcept;

    MappedArray<FoldBlock> ranges_;
    uint64_t bytes_ = 0;
};

} // namespace leak::preload
