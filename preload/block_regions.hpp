// Of each MiB of the address space: whether it ever held a block, and whether one thread alone has ever recorded events
// of blocks that begin there.
//
// The first is for snapshots, which leave words out that lead to no block: of those that look like pointers in a
// program with a heap of its own (a compiler's collector), nearly all. The second is for stamps: where no other thread
// comes, there is no order but the thread's own (Clock).
//
// Any thread, signal handlers too; no locks. What the common event does is to load a word that hardly ever changes.
// Memory: 264 KiB, of which 4 KiB are touched for each GiB of addresses that has blocks. MiB that lie 64 GiB apart
// count as one: both may have held a block if one has, and their threads are those of both.
#pragma once

#include <atomic>
#include <cstdint>

namespace leak::preload {

class BlockRegions {
public:
    static constexpr uint64_t kRegionBytes = uint64_t{1} << 20;

    // Who has recorded events of a region's blocks: nobody, one thread, or several.
    using Owner = uint32_t;
    static constexpr Owner kNobody = 0;           // nor did it hold a block
    static constexpr Owner kUnknown = UINT32_MAX; // a thread that owns nothing

    // What stands for a thread of this process.
    [[nodiscard]] Owner owner_for(uint32_t thread_index) const noexcept
    {
        return thread_index < kUnknown - 1 - several() ? several() + 1 + thread_index : kUnknown;
    }
    [[nodiscard]] bool is_several(Owner owner) const noexcept { return owner == several(); }

    // Of the region that holds the address.
    [[nodiscard, gnu::always_inline]] Owner owner(uint64_t address) const noexcept
    {
        return owners_[address / kRegionBytes % kRegions].load(std::memory_order_relaxed);
    }
    // The same for a block; kNobody as well if it does not lie in one region. A pointer to its end counts, too. Any
    // owner but the thread and several: note() has something to do.
    [[nodiscard, gnu::always_inline]] Owner owner(uint64_t address, uint64_t bytes) const noexcept
    {
        return address / kRegionBytes == (address + bytes) / kRegionBytes ? owner(address) : kNobody;
    }

    // To be called before another thread can do anything that depends on the event: of an allocation before the hook
    // returns, of a release (of which the size is not known: 0) before the block is released. mine: owner_for() the
    // thread, or kUnknown.
    void note(uint64_t address, uint64_t bytes, Owner mine) noexcept
    {
        if (const Owner known = owner(address, bytes); known == kNobody || (known != mine && !is_several(known)))
            add(address, bytes, mine);
    }

    // A large block was allocated, of which it is to be known exactly when it goes: as if several threads had recorded
    // events in the region where it begins, as soon as there are several threads. As for note().
    void note_large(uint64_t address) noexcept;
    // The process has a second thread, which is going to record its first event.
    void begin_several() noexcept;

    // Whether there was a block in the region that holds the address.
    [[nodiscard]] bool held_block(uint64_t address) const noexcept
    {
        return is_incomplete_.load(std::memory_order_relaxed) || owner(address) != kNobody;
    }

    // In a forked child, which has recorded nothing yet. threads: indexes that the parent has used.
    void begin_child(uint32_t threads) noexcept;

private:
    static constexpr uint64_t kRegions = uint64_t{1} << 16;

    [[nodiscard]] Owner several() const noexcept { return inherited_ + 1; }
    void share(uint64_t region) noexcept { owners_[region % kRegions].store(several(), std::memory_order_release); }
    [[gnu::noinline]] void add(uint64_t address, uint64_t bytes, Owner mine) noexcept;

    std::atomic<Owner> owners_[kRegions] = {};
    static constexpr uint64_t kWordBits = 64;
    std::atomic<uint64_t> large_[kRegions / kWordBits] = {}; // a bit for each region where a large block began
    std::atomic<bool> are_several_{false};                   // threads
    Owner inherited_ = 0;                    // up to this one they are the parent's, whose events are not ours
    std::atomic<bool> is_incomplete_{false}; // there was an endless block: any region may hold some
};

extern constinit BlockRegions g_block_regions;

} // namespace leak::preload
