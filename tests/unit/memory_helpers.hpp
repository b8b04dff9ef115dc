// Memories made up by the tests of what is found in a snapshot.
#pragma once

#include "analyzer/analysis/reachability.hpp"

#include <algorithm>

namespace leak::test {

using namespace leak::analyzer;

// A heap that grows upwards, and module data before it.
class Memory {
public:
    // The address of a new block.
    uint64_t block(uint64_t bytes, format::EventKind kind = format::EventKind::malloc_)
    {
        const uint64_t address = next_;
        add(address, bytes, kind);
        skip(bytes + 16);
        return address;
    }
    // A block of leak_alloc() at this address.
    uint64_t inside(uint64_t address, uint64_t bytes)
    {
        add(address, bytes, format::EventKind::custom_alloc);
        return address;
    }
    // Leaves out so many bytes, and gives their address.
    uint64_t skip(uint64_t bytes)
    {
        const uint64_t address = next_;
        next_ += (bytes + 15) / 16 * 16;
        return address;
    }
    void word(uint64_t at, uint64_t value) { words_.push_back({at, value}); }
    // Stores the value in the next word of module data.
    void global(uint64_t value)
    {
        word(next_global_, value);
        next_global_ += 8;
    }
    // The address of read-only data.
    [[nodiscard]] static uint64_t constants() { return kConstants; }

    // As it is so far.
    MemoryView& view()
    {
        view_.image.areas = {{kGlobals, 1 << 20, format::AreaKind::module_data, 1},
                             {kConstants, 1 << 20, format::AreaKind::read_only, 1},
                             {kHeap, uint64_t{1} << 44, format::AreaKind::anonymous, 0}};
        view_.image.words = words_;
        std::ranges::sort(view_.image.words, {}, &format::SnapshotWord::address);
        return view_;
    }

private:
    void add(uint64_t address, uint64_t bytes, format::EventKind kind)
    {
        LiveBlock block;
        block.address = address;
        block.bytes = bytes;
        block.kind = kind;
        block.stamp = ++stamp_;
        view_.blocks.push_back(block);
    }

    static constexpr uint64_t kGlobals = 0x400000;
    static constexpr uint64_t kConstants = 0x600000;
    static constexpr uint64_t kHeap = 0x10000000;
    MemoryView view_;
    std::vector<format::SnapshotWord> words_;
    uint64_t next_ = kHeap;
    uint64_t next_global_ = kGlobals;
    uint64_t stamp_ = 0;
};

class Classes {
public:
    explicit Classes(Memory& memory, const AllocatorMemory& allocator = {})
        : graph_(memory.view(), allocator), found_(find_reachability(graph_))
    {
    }

    // kind none: of the block with this address whatever it is.
    [[nodiscard]] BlockClass of(uint64_t address, format::EventKind kind = format::EventKind::none) const
    {
        return found_.classes[number(address, kind)];
    }
    // The address of the block that it is lost with, or 0.
    [[nodiscard]] uint64_t leader_of(uint64_t address) const
    {
        const BlockNumber leader = found_.leaders[number(address, format::EventKind::none)];
        return leader == kNoBlock ? 0 : graph_.blocks()[leader].begin;
    }

private:
    [[nodiscard]] size_t number(uint64_t address, format::EventKind kind) const
    {
        const auto is_it = [&](BlockNumber block) {
            return graph_.blocks()[block].begin == address &&
                   (kind == format::EventKind::none || graph_.live(block).kind == kind);
        };
        for (BlockNumber block = 0; block < graph_.blocks().size(); ++block)
            if (is_it(block)) return block;
        throw std::out_of_range("no such block");
    }

    PointerGraph graph_;
    Reachability found_;
};

} // namespace leak::test
