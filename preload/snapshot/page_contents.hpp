// What the pages of the process held at a snapshot, by checksums, so that the next snapshot can tell which hold the
// same.
//
// Why not by the kernel's soft-dirty bits or write tracking (userfaultfd): both are states of the host's own mappings,
// which it may want for itself, and cost it a fault for each page. The copy reads all pages anyway.
//
// In memory that the process shares with the copy: the process maps it and keeps it, the copy writes it, in ascending
// order of pages. A page takes 4 bytes, a run of neighbours that have not changed since the same snapshot 24 more.
#pragma once

#include "preload/own_memory.hpp"

#include <atomic>
#include <cstdint>

namespace leak::preload {

class PageContents {
    struct Run {
        uint64_t page;
        uint64_t pages;
        uint64_t since; // stamp
    };
    // Behind it the runs, then the checksums of their pages.
    struct Shared {
        uint64_t bytes; // of the mapping
        uint64_t run_room;
        uint64_t page_room;
        uint64_t run_count;
        uint64_t pages;
        [[nodiscard]] Run* runs() noexcept { return reinterpret_cast<Run*>(this + 1); }
        [[nodiscard]] uint32_t* checksums() noexcept { return reinterpret_cast<uint32_t*>(runs() + run_room); }
    };

public:
    // Room for so many pages; false: no memory. What there was is gone.
    [[nodiscard]] bool map(uint64_t pages) noexcept
    {
        constexpr uint64_t kMostPages = 2 << 20; // 8 GiB; of pages behind them nothing is known
        constexpr uint64_t kPagesARun = 4;
        unmap();
        const uint64_t room = pages < kMostPages ? pages : kMostPages;
        const uint64_t runs = room / kPagesARun + 1024;
        const uint64_t bytes = sizeof(Shared) + runs * sizeof(Run) + room * sizeof(uint32_t);
        auto* const made = static_cast<Shared*>(map_shared_own(bytes));
        if (made == nullptr) return false;
        made->bytes = bytes;
        made->run_room = runs;
        made->page_room = room;
        shared_.store(made, std::memory_order_release);
        return true;
    }
    // Another thread may fork at any moment: never does a pointer lead to memory that was given back.
    void unmap() noexcept
    {
        if (Shared* const was = shared_.exchange(nullptr, std::memory_order_acq_rel)) unmap_own(was, was->bytes);
    }
    // Takes what the other one has; that has none then.
    void take(PageContents& other) noexcept
    {
        unmap();
        shared_.store(other.shared_.exchange(nullptr, std::memory_order_acq_rel), std::memory_order_release);
    }
    [[nodiscard]] bool exists() const noexcept { return shared_.load(std::memory_order_relaxed) != nullptr; }

    // The page, behind all others so far, has had this checksum since the snapshot with the stamp `since`. What finds
    // no room is left out.
    void add(uint64_t page, uint32_t checksum, uint64_t since) noexcept
    {
        Shared* const shared = shared_.load(std::memory_order_relaxed);
        if (shared == nullptr || shared->pages == shared->page_room) return;
        Run* const runs = shared->runs();
        Run* const last = shared->run_count == 0 ? nullptr : &runs[shared->run_count - 1];
        if (last != nullptr && last->page + last->pages == page && last->since == since) {
            ++last->pages;
        } else if (shared->run_count < shared->run_room) {
            runs[shared->run_count++] = {page, 1, since};
        } else {
            return;
        }
        shared->checksums()[shared->pages++] = checksum;
    }

    // Looks pages up, in ascending order.
    class Reader {
    public:
        explicit Reader(const PageContents& contents) noexcept
            : shared_(contents.shared_.load(std::memory_order_relaxed))
        {
        }

        // True: the page held this, by its checksum; `since` when.
        [[nodiscard]] bool held(uint64_t page, uint32_t checksum, uint64_t& since) noexcept
        {
            if (shared_ == nullptr) return false;
            const Run* const runs = shared_->runs();
            for (; run_ < shared_->run_count && runs[run_].page + runs[run_].pages <= page; ++run_)
                first_ += runs[run_].pages;
            if (run_ == shared_->run_count || page < runs[run_].page) return false;
            if (shared_->checksums()[first_ + (page - runs[run_].page)] != checksum) return false;
            since = runs[run_].since;
            return true;
        }

    private:
        Shared* shared_;
        uint64_t run_ = 0;
        uint64_t first_ = 0; // the number of its first checksum
    };

private:
    std::atomic<Shared*> shared_{nullptr};
};

} // namespace leak::preload
