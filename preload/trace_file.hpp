// The trace file while it is being written: its slots, its header, its journal and its pcs.
//
// Slots are mapped shared, so what is stored in them is in the file whatever becomes of the process. No descriptor
// stays open in the host: the file is opened for the moment it grows (or held by the writer, whose descriptors are its
// own). Locking: create() and reset() by one thread; add_slot() by one at a time (Tracer::new_slot() sees to it);
// journal and pcs under the state lock.
#pragma once

#include "format/journal.hpp"
#include "format/layout.hpp"
#include "preload/clock.hpp"
#include "preload/settings.hpp"
#include "preload/slot_ring.hpp"
#include "preload/text.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace leak::preload {

// What a forked child says about where it came from.
struct ParentTrace {
    uint64_t trace_id = 0; // 0: none
    uint32_t pid = 0;
    uint64_t fork_stamp = 0;
    Path path;
};

// A slot of the file and where it is mapped.
struct Slot {
    std::byte* at = nullptr; // nullptr: none
    uint32_t index = 0;
    [[nodiscard]] explicit operator bool() const noexcept { return at != nullptr; }
    // What lies behind the slot's header.
    template <typename Header> [[nodiscard]] Header& body() const noexcept
    {
        return *reinterpret_cast<Header*>(at + sizeof(format::SlotHeader));
    }
};

class TraceFile {
public:
    // Creates the file with slot 0. False: nothing could be created; error() says why.
    [[nodiscard]] bool create(const Settings& settings, const Clock& clock) noexcept;
    // Whether the address lies in a slot that is mapped. Takes no lock; a signal handler may ask.
    [[nodiscard]] bool has_mapped(const void* address) const noexcept;
    // Somebody has cut the file: puts private memory, all zero, where slots are mapped, but where slot 0 is if the file
    // still has it and `fault` does not lie there. For signal handlers; all signals must be blocked.
    void leave(const void* fault) noexcept;
    // The file is shorter than it was made. fd: open for it.
    [[nodiscard]] bool is_cut(int fd) const noexcept;
    // add_slot() has found that it is.
    [[nodiscard]] bool was_cut() const noexcept { return was_cut_.load(std::memory_order_relaxed); }
    // In a forked child: puts private memory, all zero, where slots are mapped, for hooks that were interrupted.
    void cut_loose() noexcept;
    // Forgets the file without touching its contents.
    void reset() noexcept;

    [[nodiscard]] bool exists() const noexcept { return first_slot_ != nullptr; }
    [[nodiscard]] format::FileHeader& header() const noexcept
    {
        return *reinterpret_cast<format::FileHeader*>(first_slot_ + format::kFileHeaderOffset);
    }
    [[nodiscard]] std::byte* first_slot() const noexcept { return first_slot_; }
    [[nodiscard]] const Path& path() const noexcept { return path_; }
    [[nodiscard]] int error() const noexcept { return error_; }

    // Maps a slot that is free, or extends the file by one; none when that can't be had, because the ring is full
    // (is_full()) or by error(). fd: open for the file, or -1 to open it for the moment. The slot is laid out for its
    // kind: raw buffer frames, an empty journal or pcs frame, or padding.
    [[nodiscard]] Slot add_slot(format::SlotKind kind, uint32_t owner_tid, int fd) noexcept;
    // The last add_slot() found the ring full.
    [[nodiscard]] bool is_full() const noexcept { return is_full_; }
    [[nodiscard]] SlotRing& ring() noexcept { return ring_; }
    // The error for which the ring is smaller than it was to be, once; 0: none, or it was told before.
    [[nodiscard]] int new_limit() noexcept
    {
        return new_limit_.load(std::memory_order_relaxed) == 0 ? 0 : new_limit_.exchange(0, std::memory_order_acquire);
    }
    // Unmaps a slot that is complete.
    void close_slot(const Slot& slot) noexcept;
    // A descriptor for the file, checked to be the one that was created; or -errno.
    [[nodiscard]] int open_again() const noexcept;

    // Stores a clock pair for the conversion of stamps.
    void note_time(const Clock& clock) noexcept;

private:
    [[nodiscard]] Slot take_slot(int fd, format::SlotKind kind, uint32_t owner_tid) noexcept;
    [[nodiscard]] std::byte* map_slot(int fd, uint64_t offset) noexcept;
    void keep_or_unmap(std::byte* place) noexcept;
    [[nodiscard]] format::SlotHeader make_header(format::SlotKind kind, uint32_t owner_tid) const noexcept;
    [[nodiscard]] long take_room(int fd, uint32_t index) noexcept;
    void limit_ring(int error) noexcept;
    [[nodiscard]] static bool is_shorter(int fd, uint64_t bytes) noexcept;
    void note_cut() noexcept;
    [[nodiscard]] bool extend(int fd, uint64_t offset) noexcept;
    static void begin_use(const Slot& slot, const format::SlotHeader& header, int fd_for_zeros) noexcept;
    void lay_out_first_slot(std::byte* slot, const Settings& settings, const Clock& clock,
                            uint64_t start_unix_ns) noexcept;
    void lay_out(std::byte* slot, format::SlotKind kind) noexcept;
    void remember(std::byte* slot) noexcept;
    void forget(std::byte* slot) noexcept;

    static constexpr uint32_t kMostMapped = 65'536; // slots; those that stay mapped are raw, pcs and journal ones

    std::byte* first_slot_ = nullptr;
    Path path_;
    uint64_t device_ = 0;
    uint64_t inode_ = 0;
    uint64_t trace_id_ = 0;
    uint64_t slot_uses_ = 0; // the last one's sequence
    SlotRing ring_;
    uint32_t slots_with_room_ = 0; // on the disk, from the first one on
    std::atomic<int> new_limit_{0};
    std::atomic<std::byte*> spare_{nullptr}; // where a slot can be mapped in any case; nothing can be read there
    bool is_full_ = false;
    int error_ = 0;
    std::atomic<bool> noting_time_{false};
    std::atomic<bool> was_cut_{false};
    // Addresses of mapped slots; 0: an entry not in use. With kLeaving a slot is being replaced by leave(), and whoever
    // wants to unmap it has to wait: somebody else's memory may be in its place then.
    std::atomic<uint64_t>* mapped_ = nullptr;
    std::atomic<uint32_t> mapped_end_{0};
    static constexpr uint64_t kLeaving = 1;
};

} // namespace leak::preload
