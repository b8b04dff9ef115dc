// The mmapped ranges that are live at one moment of the replay. They don't overlap.
//
// One thread. Memory grows with the live ranges.
#pragma once

#include "analyzer/replay/trace_model.hpp"

#include <map>
#include <vector>

namespace leak::analyzer {

class MappedRanges {
public:
    // Adds a range; what lay there before goes (MAP_FIXED) and is given back.
    std::vector<LiveBlock> map(const LiveBlock& range);

    // Takes [address, address + bytes), rounded up to whole pages, out of the ranges it meets: whole ones, their ends
    // or their middles. Gives back the pieces.
    std::vector<LiveBlock> unmap(uint64_t address, uint64_t bytes);

    // Puts pieces back that unmap() took, where nothing else was mapped since; joins what was one range. Gives back
    // what was put back.
    std::vector<LiveBlock> restore(const std::vector<LiveBlock>& pieces);

    // Without inherited ranges.
    [[nodiscard]] uint64_t bytes() const { return bytes_; }
    [[nodiscard]] std::vector<LiveBlock> all() const;

private:
    [[nodiscard]] bool overlaps(const LiveBlock& piece) const;
    void insert(const LiveBlock& range);
    [[nodiscard]] static uint64_t own_bytes(const LiveBlock& range) { return range.inherited ? 0 : range.bytes; }
    void join(std::map<uint64_t, LiveBlock>::iterator left);

    std::map<uint64_t, LiveBlock> ranges_; // by address
    uint64_t bytes_ = 0;
};

} // namespace leak::analyzer
