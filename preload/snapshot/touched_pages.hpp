// Which pages of a mapping may hold pointers: those that were ever touched, and in private mappings of files those that
// were written. The others are not looked at: reading them would make them.
//
// In the copy alone. By /proc/self/pagemap (Documentation/admin-guide/mm/pagemap.rst); of memory that is shared by
// mincore(2), because a copy has no page tables of it.
#pragma once

#include "preload/mapped_array.hpp"
#include "preload/os.hpp"
#include "preload/snapshot/areas.hpp"

namespace leak::preload {

class TouchedPages {
public:
    TouchedPages() noexcept = default;
    ~TouchedPages()
    {
        if (fd_ >= 0) os::close(fd_);
    }
    TouchedPages(const TouchedPages&) = delete;
    TouchedPages& operator=(const TouchedPages&) = delete;

    // False: no memory. Where the kernel says nothing, all pages count as touched.
    [[nodiscard]] bool begin() noexcept
    {
        fd_ = os::open("/proc/self/pagemap", O_RDONLY);
        return entries_.resize(kWindowPages) && residence_.resize(kWindowPages);
    }

    struct Run {
        uint64_t begin;
        uint64_t end;
    };
    // The next run of such bytes in [at, piece.end); false: none.
    [[nodiscard]] bool next(const AreaPiece& piece, uint64_t at, Run& run) noexcept
    {
        if (piece.is_file && piece.is_shared) { // registered as roots: whatever it is
            run = {at, piece.end};
            return at < piece.end;
        }
        while (at < piece.end && !is_touched(piece, at)) at = page_after(at);
        if (at >= piece.end) return false;
        run.begin = at;
        while (at < piece.end && is_touched(piece, at)) at = page_after(at);
        run.end = at < piece.end ? at : piece.end;
        return true;
    }

private:
    static constexpr size_t kWindowPages = 4096;

    [[nodiscard]] static uint64_t page_after(uint64_t at) noexcept { return (at / kPageBytes + 1) * kPageBytes; }

    [[nodiscard]] bool is_touched(const AreaPiece& piece, uint64_t at) noexcept
    {
        const uint64_t page = at / kPageBytes;
        if (page - first_ >= count_ || is_of_shared_ != piece.is_shared) look(piece, page);
        if (page - first_ >= count_) return true;
        if (piece.is_shared) return (residence_[page - first_] & 1) != 0;
        constexpr uint64_t kPresentOrSwapped = uint64_t{3} << 62;
        constexpr uint64_t kOfFile = uint64_t{1} << 61;
        const uint64_t entry = entries_[page - first_];
        return (entry & kPresentOrSwapped) != 0 && !(piece.is_file && (entry & kOfFile) != 0);
    }
    void look(const AreaPiece& piece, uint64_t page) noexcept
    {
        const uint64_t pages = (piece.end + kPageBytes - 1) / kPageBytes - page;
        const size_t wanted = pages < kWindowPages ? pages : kWindowPages;
        first_ = page;
        count_ = 0;
        is_of_shared_ = piece.is_shared;
        if (piece.is_shared) {
            const long done = os::call(SYS_mincore, static_cast<long>(page * kPageBytes),
                                       static_cast<long>(wanted * kPageBytes), os::word(residence_.begin()));
            if (done == 0) count_ = wanted;
        } else if (fd_ >= 0) {
            const long got = os::read_at(fd_, entries_.begin(), wanted * sizeof(uint64_t), page * sizeof(uint64_t));
            if (got > 0) count_ = static_cast<size_t>(got) / sizeof(uint64_t);
        }
    }

    int fd_ = -1;
    MappedArray<uint64_t> entries_;
    MappedArray<uint8_t> residence_;
    uint64_t first_ = 0; // page
    size_t count_ = 0;
    bool is_of_shared_ = false;
};

} // namespace leak::preload
